"""Scores as a table, and the mirror: the schema is whole, files come back as they were, errors say what to do, nothing of the machine goes along."""

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from workbooks import madlib, write_workbook

import madlib.run.mirror as madlib_mirror
from madlib.run.cli import app
from madlib.run.exchange import TABLES, read_table, score_table, table_schema, write_table
from madlib.run.mirror import mirror
from madlib.run.records import Run, load_runs
from madlib.run.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
RUNS = load_runs(ROOT / "runs")
REFUSED = {"--experiment 09": "Unknown experiment among the records '09'", "--preset lg": "Did you mean 'log'?", "x.xlsx": "Known: .parquet, .csv.",
           "--what runs": "Known: trials, measured.", "x.parquet --csv": "don't agree"}
ENOUGH = [r for r in RUNS if r.folder.parent.name in ("006-monarch", "008-cos-log-linear", "048-packing", "suite", "bench-ops", "bench-mixers")]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    "A workbook that holds two of our records, and a run of its own."
    root = write_workbook(tmp_path_factory.mktemp("book"))
    for name in ("008-cos-log-linear", "025-nystrom"): shutil.copytree(ROOT / "runs" / name, root / "runs" / name)
    return root


@pytest.mark.parametrize("what", TABLES)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_comes_back_as_the_table_that_it_was(what, ending, tmp_path):
    table = score_table(ENOUGH, what)
    assert len(table) > 100
    path, *_ = write_table(table, tmp_path / f"x.{ending}", what)
    pd.testing.assert_frame_equal(read_table(path), table, check_exact=True)


@pytest.mark.parametrize("what", TABLES)
def test_every_column_is_in_the_schema_and_the_reverse(what, tmp_path):
    table, fields = score_table(ENOUGH, what), table_schema(what)["fields"]
    assert list(table) == [f["name"] for f in fields] and all(f["description"] for f in fields)
    assert not table[table_schema(what)["primaryKey"]].duplicated().any() and not table[table_schema(what)["primaryKey"]].isna().any(axis=None)
    schema = pq.read_schema(write_table(table, tmp_path / "x.parquet", what)[0])
    assert [schema.field(f["name"]).metadata[b"description"].decode() for f in fields] == [f["description"] for f in fields]
    assert json.loads(schema.metadata[b"table_schema"]) == table_schema(what)
    assert json.loads(write_table(table, tmp_path / "x.csv", what)[1].read_text()) == table_schema(what)


def test_no_trial_and_no_value_is_lost():
    table = score_table(RUNS)
    kept = [t for r in RUNS for t in (r.record.get("result") or {}).get("trials") or []]
    assert len(table) == len(kept)
    said = [{k: v for k, v in row.items() if pd.notna(v)} | json.loads(row["more"] if isinstance(row["more"], str) else "{}") for row in table.to_dict("records")]
    other = {"arm": "variant", "group": "task"}
    for trial, row in zip(kept, said, strict=True):
        for k, v in trial.items():
            name = k if k in row else other.get(k, k)
            assert v in (None, "") or row[name] == v, (k, v, row)


def test_two_thousand_records_are_quick():
    one = next(r for r in RUNS if r.folder.parent.name == "008-cos-log-linear")
    many = [Run(Path(f"a/{i}"), one.record) for i in range(2000)]
    start = time.process_time()
    assert len(score_table(many)) == 36_000
    assert time.process_time() - start < 10


def test_the_command_writes_what_the_ending_says(book):
    done = madlib(book, "export")
    assert done.returncode == 0 and done.stdout.startswith("scores.parquet: 98 rows from 3 of 3 runs"), done.stdout + done.stderr
    assert len(read_table(book / "scores.parquet")) == 98


def test_some_of_them_as_csv_and_what_cannot_be_written(book, capsys, monkeypatch):
    monkeypatch.chdir(book)
    monkeypatch.delenv("MADLIB_RUNS", raising=False)
    assert app(["export", "--csv"], standalone_mode=False) != 2 and (book / "scores.csv").is_file()
    app(["export", "out/some.csv", "--experiment", "008", "--preset", "log"], standalone_mode=False)
    assert "out/some.csv and out/some.schema.json: 62 rows from 1 of 1 runs" in capsys.readouterr().out
    assert set(read_table("out/some.csv")["number"]) == {"008"}
    for words, said in REFUSED.items():
        assert app(["export", *words.split()], standalone_mode=False) == 2
        assert said in capsys.readouterr().err and not list(book.glob("x.*"))


def test_without_the_packages_the_error_names_the_command(book, monkeypatch):
    for name in ("pyarrow", "wandb"): monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"pip install 'madlib\[export\]'"): write_table(score_table(ENOUGH), book / "y.parquet")
    with pytest.raises(ValueError, match=r"pip install 'madlib\[wandb\]'"): mirror(load_runs(book / "runs")[0], load_settings(book), "offline")
    assert not list(book.glob("y.*"))


def test_a_mirror_is_made_offline_and_tells_nothing_of_the_machine(book):
    done = madlib(book, "mirror", "942643", "--offline")
    assert done.returncode == 0, done.stderr
    at, = (book / "runs/.wandb").glob("offline-run-*")
    assert f"Send it with: wandb sync {at.relative_to(book)}" in done.stdout
    sent = next(at.glob("*.wandb")).read_bytes()
    for word in ("008_cos_log_linear", "unclear (preliminary)", "parameters", "trials_table", "criteria_table"): assert word.encode() in sent
    elsewhere = sent.replace(str(book.resolve()).encode(), b"")  # where tables wait to be sent, which is not sent
    for word in (str(Path.home()), sys.prefix, str(ROOT), "7b40e1f16062"): assert word.encode() not in elsewhere, word
    trials = json.loads(next(at.glob("files/media/table/trials_table*.json")).read_text())
    assert len(trials["data"]) == 62 and {"variant", "seed", "accuracy"} <= set(trials["columns"])


def test_settings_mirror_a_run_when_it_ends(tmp_path):
    root = write_workbook(tmp_path / "book")
    (root / "settings.ini").write_text("[madlib]\nruns = runs\nexperiments = nbs\nwandb = offline\n")
    done = madlib(root, "run", "001")
    assert done.returncode == 0 and "wandb sync runs/.wandb/offline-run-" in done.stderr and done.stdout.startswith("It works"), done.stderr
    assert list((root / "runs/.wandb").glob("offline-run-*"))


def test_a_mirror_that_fails_spoils_nothing(book, capsys, monkeypatch):
    run = load_runs(book / "runs")[0]
    monkeypatch.setattr(madlib_mirror, "load_settings", lambda: replace(load_settings(book), runs=book / "runs", wandb="online"))
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("HOME", str(book))
    monkeypatch.setattr(sys, "stdin", None)
    before = (run.folder / "run.json").read_bytes()
    madlib_mirror.mirror_at_once(run)
    said = capsys.readouterr().err
    assert "recorded, but not mirrored" in said and "wandb login" in said and (run.folder / "run.json").read_bytes() == before


def test_online_the_address_is_kept_and_the_run_goes_on_under_its_id(book, monkeypatch):
    asked = {}

    class Copy:
        url, summary = "https://w.b/1", {}
        settings = type("S", (), {"sync_dir": "x"})
        def define_metric(self, *a, **k): pass
        def log(self, row, step): asked.setdefault("steps", []).append(step)
        def finish(self, exit_code): asked["exit"] = exit_code

    import wandb
    monkeypatch.setattr(wandb, "init", lambda **k: asked.update(k) or Copy())
    run = next(r for r in load_runs(book / "runs") if r.folder.name.endswith("942643"))
    assert mirror(run, replace(load_settings(book), runs=book / "runs"), "online") == "https://w.b/1"
    assert json.loads((run.folder / "run.json").read_text())["links"] == {"wandb": "https://w.b/1"}
    assert (asked["id"], asked["resume"], asked["steps"], asked["exit"]) == (run.folder.name, "allow", [0], 0)
