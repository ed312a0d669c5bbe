"""The research log over generated records with known answers: its parts, its page, and its speed with 2,000 records."""

import json
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from workbooks import madlib, write_catalogue

from madlib.run.experiments import experiments
from madlib.run.log import candidates, promise, refuted, spent, start_of, within
from madlib.run.records import load_runs
from madlib.run.tricks import newest, tricks

NBS = Path(__file__).resolve().parent.parent / "nbs"
NOW = datetime.now(UTC)
SLOPE = {"text": "slope against plain", "of": "a", "minus": "plain", "metric": "accuracy", "op": ">", "value": 0.1, "high": None, "unit": "%", "decisive": True,
         "estimate": -0.2, "interval": [-0.3, -0.1], "method": "paired bootstrap", "n": 3, "preliminary": True, "status": "not met"}


def write_front(root: Path, name: str, priority: str, impact: str, cost: str, tricks: str) -> None:
    rows = {"priority": priority, "impact": impact, "cost": cost, "tricks": tricks}
    front = f"# {name[:3]}: {name[4:]}?\n\n> Small.\n\n| | |\n|---|---|\n" + "\n".join(f"| {k} | {v} |" for k, v in rows.items())
    presets = new_code_cell("PRESETS = {'smoke': {}, 'quick': {}, 'log': {}}", metadata={"tags": ["presets"]})
    parameters = new_code_cell('preset: str = "smoke"  # its size', metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[new_markdown_cell(front), presets, parameters]), root / f"nbs/experiments/{name}.ipynb")


def write_record(root: Path, name: str, decision: str | None, days: float = 1, **changes) -> Path:
    "A run that began some days ago; `changes` are entries of its record."
    began = NOW - timedelta(days=days)
    folder = root / f"runs/{name.replace('_', '-')}/{began:%Y%m%dT%H%M%SZ}-{abs(hash((name, days, str(changes)))) % 0xFFFFFF:06x}"
    criteria = [SLOPE] if decision == "kill" else []
    verdict = {"decision": decision, "preliminary": True, "reason": "“slope against plain” is not met: −20 points from 3 seeds.", "sentence": f"{decision}."}
    result = None if decision is None else {"verdict": verdict, "criteria": criteria, "reported": changes.pop("reported", [])}
    experiment = {"number": name[:3], "name": name, "title": f"{name[:3]}: {name[4:]}?", "notebook": f"nbs/experiments/{name}.ipynb"}
    record = {"schema": 1, "id": folder.name, "experiment": experiment, "status": "done", "started": began.isoformat(timespec="seconds"), "preset": "quick",
              "engine": "local", "parameters": {}, "seconds": 100.0, "cost": {"seconds": 100.0, "dollars": 0.0}, "result": result, "error": None, "links": {}} | changes
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    "Four experiments: one killed, one that proceeds, one proposal, one whose runs failed and one of them a month ago."
    root = tmp_path_factory.mktemp("log") / "book"
    (root / "nbs/experiments").mkdir(parents=True)
    (root / "settings.ini").write_text((NBS.parent / "settings.ini").read_text())
    write_catalogue(root / "nbs/catalogue.ipynb", ("Slope", "001"), ("Curve", ""))
    page, entries = nbformat.read(NBS / "tricks.ipynb", 4), nbformat.read(root / "nbs/catalogue.ipynb", 4)
    page.cells = [c for c in page.cells if not c.source.startswith("### ")] + [c for c in entries.cells]
    nbformat.write(page, root / "nbs/tricks.ipynb")
    shutil.copy(NBS / "log.ipynb", root / "nbs")
    write_front(root, "001_killed", "high", "8 of 10: much", "$1", "Slope")
    write_front(root, "002_right", "medium", "5 of 10", "about $3", "[Curve](../tricks.ipynb#Curve)")
    write_front(root, "003_new", "high", "9/10", "who knows", "001, Curve")
    write_front(root, "004_broken", "soon", "", "36 min of two cores", "")
    write_record(root, "001_killed", "proceed", days=2)
    write_record(root, "001_killed", "kill", days=1, reported=[{"variant": "a", "what": "accuracy", "earlier": 0.9, "ours": 0.2, "interval": [0.1, 0.3], "says": "not reproduced", "why": "outside our interval"}])
    write_record(root, "001_killed", "proceed", days=0.5, preset="smoke")
    write_record(root, "002_right", "proceed", days=3, preset="log", engine="modal", cost={"seconds": 600.0, "dollars": 0.25})
    write_record(root, "004_broken", None, days=1, status="failed", error={"ename": "ValueError", "evalue": "no such thing"})
    write_record(root, "004_broken", None, days=30, status="failed", error={"ename": "ValueError", "evalue": "long ago"})
    return root


@pytest.fixture(scope="module")
def facts(book): return tricks(book / "nbs/tricks.ipynb"), experiments(book / "nbs/experiments"), load_runs(book / "runs")


def test_a_period_takes_in_what_began_in_it(facts):
    runs = facts[2]
    assert [len(within(runs, start_of(since, NOW))) for since in ("18h", "36h", "60h", "7d", "4w", "5w", "all")] == [1, 3, 4, 5, 5, 6, 6]
    assert start_of("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="24h, 7d, 4w, a day such as 2026-11-01, or all, not '7 days'"): start_of("7 days")


def test_the_newest_verdict_speaks_and_smoke_does_not(facts):
    found = newest(facts[2])
    assert sorted(found) == ["001_killed", "002_right"]
    assert [c["minus"] for c in refuted(found["001_killed"])] == ["plain"] and not refuted(found["002_right"])
    assert spent(facts[2]) == {"local": (5, 500.0, 0.0), "modal": (1, 600.0, 0.25)}


def test_the_ranking_is_what_the_formula_says(facts):
    known, asked, runs = facts
    assert promise(known, asked, newest(runs)) == {"Slope": 1 / 2.5, "Curve": 1.5 / 2.5}
    ranked = candidates(known, asked, runs, core=1 / 3600, dollars=0.5)
    assert [(c.experiment.number, c.preset, c.impact, c.priority, c.dollars) for c in ranked] == [
        ("003", "quick", 9, 1, None), ("001", "log", 8, 1, 1.0), ("004", "quick", None, None, 1.2), ("002", "log", 5, 2, 3.0)]
    by_hand = [0.9 * (0.4 + 0.6) / 2 / 1.5, 0.8 * 0.4 / 2, 0.5 / 2 * 0.5 / 2.2, 0.5 / 2 * 0.6 / 4]
    assert [c.score for c in ranked] == pytest.approx(by_hand)
    assert [c.why for c in ranked] == ["no run yet", "last verdict is preliminary", "no run of it ended with a verdict (2 tried)", "last verdict is preliminary"]


def text_of(page: Path) -> str: return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style|details).*?</\1>", "", page.read_text())))


def test_the_page_says_what_the_records_say(book):
    done = madlib(book, "log", "--since", "7d", timeout=300)
    assert done.returncode == 0 and done.stdout.strip() == "site/log.html", done.stderr
    says = text_of(book / "site/log.html")
    assert "5: 4 done, 1 failed" in says and "6: 4 done, 2 failed" in says and "proposals, no verdict yet 2" in says
    assert "slope against plain &gt; +10 points against plain −20 points [−30, −10] 3 quick 1 min 40 s $0.00" in says
    assert "1 claims that did not hold" in says and "plain, asked &gt; +10 points" in says
    assert "1 figures: 1 not reproduced" in says and "20.0 % [10.0, 30.0]" in says
    assert "ValueError: no such thing" in says and "long ago" not in says and "$0.25" in says
    order = re.findall(r"madlib run (\d{3}) --preset (\w+)", says)
    assert order == [("003", "quick"), ("001", "log"), ("004", "quick"), ("002", "log")]
    assert "$0.50 (unknown) 0.300" in says and "5 (unknown) 2 (unknown)" in says


def test_a_wrong_period_is_an_error_before_anything_starts(book):
    done = madlib(book, "log", "--since", "soon")
    assert done.returncode == 2 and "A period is 24h, 7d, 4w" in done.stderr


def test_the_catalogue_shows_what_was_found(book):
    done = madlib(book, "tricks", timeout=300)
    assert done.returncode == 0 and done.stdout.strip() == "site/tricks.html", done.stderr
    says = text_of(book / "site/tricks.html")
    assert says.count("For tests.") == 2 and "Slope 001 small here 001 , 003 1 kill (preliminary), 1 not run" in says
    assert "003 new? Not run yet." in says and "kill (preliminary) : “slope against plain” is not met" in says


def test_two_thousand_records_take_seconds(tmp_path):
    root = tmp_path / "many"
    for i in range(2000): write_record(root, f"{i % 20:03d}_many", "kill" if i % 3 else "proceed", days=i / 20)
    known, asked = [], []
    start = time.process_time()
    runs = load_runs(root / "runs")
    assert len(runs) == 2000 and len(newest(runs)) == 20 and spent(within(runs, start_of("7d")))["local"][0] == 140
    assert candidates(known, asked, runs) == []
    assert time.process_time() - start < 5
