"""Runs on Modal, without an account: the real client, Modal's own container entry point, and a server of ours between them that can be told to fail."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from loopback import Loopback
from test_resume import IN_TURN, TRAINS, untimed
from workbooks import cell_states, command, environment, madlib, records, start, wait_for, write_experiment, write_workbook

PRICES = """[prices]
date = 2026-07-01
cpu_core = 0.0000131
memory_gib = 0.00000222
t4 = 0.000164
l4 = 0.000222
"""
T4 = 0.000164 + 2 * 0.0000131 + 8 * 0.00000222  # dollars a second of what is rented
ROOT = Path(__file__).resolve().parent.parent
AWAY = ("--engine", "modal", "--yes")
LONG = 200


@pytest.fixture(scope="module")
def cloud():
    with Loopback() as cloud: yield cloud


@pytest.fixture(autouse=True)
def nothing_wrong(request):
    "Faults are for one test each."
    yield
    if "cloud" in request.fixturenames: request.getfixturevalue("cloud").faults |= {"lose_output": 0, "queue_delay": 0, "unavailable": 0, "image_fails": ""}


@pytest.fixture
def book(tmp_path): return furnish(tmp_path / "book")


def furnish(folder):
    "A workbook with prices and the page of sweeps."
    root = write_workbook(folder)
    with (root / "settings.ini").open("a") as f: f.write(PRICES)
    (root / "nbs/sweep.ipynb").write_text((ROOT / "nbs/sweep.ipynb").read_text())
    return root


def away(book, cloud, *words, **kw): return madlib(book, *words, more=cloud.environment | {"CANARY": "a-word-from-the-environment"}, timeout=LONG, **kw)


def state(cloud, id):
    "What a run says of itself in the committed volume."
    try: return json.loads((cloud.volume("madlib-runs") / id / "state.json").read_text())
    except (OSError, ValueError, KeyError): return {}


def one(book, id): return next(r for r in records(book) if r["id"] == id)


def sent(book, cloud, *words):
    "Send a run and leave; its id."
    done = away(book, cloud, *words, *AWAY, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    return re.search(r"sent: (\S+)", done.stderr)[1]


def ended(cloud, id): return wait_for(lambda: state(cloud, id).get("status") not in (None, "running"), LONG)


def test_a_run_goes_there_and_comes_back(book, cloud):
    before = len(cloud.calls)
    done = away(book, cloud, "run", "001", "--gpu", "T4", "--max-cost", "0.40", *AWAY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It works in 2 steps." in done.stdout and (book / done.stdout.strip().splitlines()[-1]).exists()
    assert "At most $0.40" in done.stderr and "3 of 3 trials" in done.stderr and "\n  Run\n" in done.stderr
    record, = records(book)
    assert (record["engine"], record["status"], record["result"]["steps"], record["machine"]["gpu"]) == ("modal", "done", 2, "T4")
    cost = record["cost"]  # each of its three parts is rounded to a millionth of a dollar
    assert cost["attempts"] == 1 and cost["dollars"] == pytest.approx(cost["rented_seconds"] * T4, abs=3e-6) and 0 < cost["dollars"] < 0.40
    assert set(cell_states(book)) == {"completed"}
    function = cloud.functions[-1]
    assert function.resources.milli_cpu == function.resources.milli_cpu_max == 2000 and function.resources.memory_mb == function.resources.memory_mb_max == 8192
    assert function.timeout_secs <= 0.40 / T4 + 121 and {"madlib": record["id"]} in cloud.tags.values()
    told = "".join(str(i) for i in cloud.images)
    assert all(word in told for word in ("torch>=2.13", "papermill>=2.7", "fla-core", "--constraint /constraints.txt", "FROM python:3.11"))
    sent = [(name, message.SerializeToString()) for name, message in cloud.calls[before:]]
    for word in (str(book), str(ROOT), sys.prefix, str(Path.home() / ".local"), "a-word-from-the-environment", cloud.environment["MODAL_TOKEN_SECRET"]):
        assert not [name for name, message in sent if word.encode() in message], f"{word} was sent"
    assert not [p.name for p in (book / "runs").glob("*/*/*.*") if str(book) in p.read_text()]


def test_a_notebook_that_fails_there_is_reported_as_here(book, cloud):
    there, here = away(book, cloud, "run", "002", *AWAY), madlib(book, "run", "002")
    assert there.returncode == here.returncode == 1
    assert "JSONDecodeError" in there.stdout and there.stdout.splitlines()[0].split(":")[1:] == here.stdout.splitlines()[0].split(":")[1:]
    first, second = records(book)
    assert first["error"] == second["error"] and first["status"] == "failed"
    pages = [(book / f"site/runs/002-bad/{r['id']}.html").read_text() for r in (first, second)]
    assert all("JSONDecodeError" in p for p in pages)


@pytest.fixture(scope="module")
def left(tmp_path_factory, cloud):
    "A workbook that has sent three runs and left, all of them finished there; the answer of the first has expired."
    book = furnish(tmp_path_factory.mktemp("left") / "book")
    ids = [sent(book, cloud, "run", "001") for _ in range(3)]
    assert {r["status"] for r in records(book)} == {"running"}
    for id in ids: ended(cloud, id)
    cloud.expire(one(book, ids[0])["links"]["modal_call"])
    return book, ids


def test_what_was_left_alone_says_how_it_is(left, cloud):
    book, ids = left
    assert away(book, cloud, "status").stdout.count("done there, $") == 3
    assert f"attempt 1 at {ids[1]}" in away(book, cloud, "logs", ids[1]).stdout


def test_two_collects_at_once(left, cloud):
    book, ids = left
    with ThreadPoolExecutor(2) as pool: both = list(pool.map(lambda _: away(book, cloud, "collect"), range(2)))
    assert all(b.returncode == 0 for b in both), [b.stderr for b in both]
    assert [(one(book, id)["status"], one(book, id)["result"]["steps"]) for id in ids] == [("done", 2)] * 3
    first = [one(book, id) for id in ids]
    assert not any(id in away(book, cloud, "collect").stdout for id in ids) and [one(book, id) for id in ids] == first


def test_collected_from_another_machine(left, cloud, tmp_path):
    book, ids = left
    other = furnish(tmp_path / "another")
    assert ids[0] in away(other, cloud, "collect", "--clean").stdout
    here, there = one(book, ids[0]), one(other, ids[0])
    assert (there["status"], there["result"], there["parameters"], there["cost"]["dollars"]) == ("done", here["result"], here["parameters"], here["cost"]["dollars"])
    assert not (cloud.volume("madlib-runs") / ids[0]).exists()  # and what is here was removed there


def test_cancelled(book, cloud):
    id = sent(book, cloud, "run", "003")
    wait_for(lambda: state(cloud, id).get("cells") == "5 of 8", LONG, "it never came to its long cell")
    assert "cell 5 of 8, $" in away(book, cloud, "status").stdout
    stopped = away(book, cloud, "cancel", id[-6:])
    assert stopped.returncode == 0 and "interrupted" in stopped.stdout, stopped.stdout + stopped.stderr
    record = records(book)[0]
    assert record["status"] == "interrupted" and record["cost"]["dollars"] > 0
    wait_for(lambda: not [c for c in cloud.containers if c.alive], 30, "its container lives on")
    assert "Nothing of" in away(book, cloud, "cancel", id).stderr


def test_a_machine_that_is_taken_away(book, cloud):
    write_experiment(book, "007_trains", IN_TURN)
    here = madlib(book, "run", "007", "-p", "steps=60", timeout=LONG)
    assert here.returncode == 0, here.stderr
    write_experiment(book, "007_trains", TRAINS)
    there = start(book, "run", "007", "-p", "steps=60", *AWAY, more=cloud.environment)
    id = wait_for(lambda: next((r["id"] for r in records(book) if r["engine"] == "modal"), None), LONG)
    home = cloud.volume("madlib-runs") / id
    wait_for(lambda: list((home / "runs/.trials").glob("*/trial.json")) or list((home / "runs/.trials").glob("*/*.pt")), LONG, "no trial was committed")
    cloud.preempt()
    assert there.wait(LONG) == 0, (book / "out").read_text()
    assert "taken away" in (book / "out").read_text()
    first, second = sorted(records(book), key=lambda r: r["engine"])
    assert second["cost"]["attempts"] == 2
    scores = lambda r: sorted((t["variant"], t["seed"], t["accuracy"], t["valid_accuracy"], t["steps"]) for t in r["result"]["trials"])
    assert scores(first) == scores(second) and untimed(first["result"]["verdict"]) == untimed(second["result"]["verdict"])


ONCE = """import os, pathlib, time
seen = pathlib.Path(os.environ["MADLIB_RUNS"]) / "seen"
first = not seen.exists()
seen.parent.mkdir(parents=True, exist_ok=True)
seen.write_text("")
time.sleep(300 if first else 0)
print("first" if first else "second")"""


def test_a_machine_that_is_taken_away_with_a_warning(book, cloud):
    write_experiment(book, "009_once", ONCE)
    there = start(book, "run", "009", *AWAY, more=cloud.environment)
    id = wait_for(lambda: records(book) and records(book)[0]["id"], LONG)
    wait_for(lambda: (cloud.volume("madlib-runs") / id / "runs/seen").exists(), LONG)
    spent = state(cloud, id)["seconds"]
    cloud.preempt(grace=8)
    assert there.wait(LONG) == 0, (book / "out").read_text()
    record = records(book)[0]
    assert record["status"] == "done" and record["cost"]["attempts"] == 2 and record["cost"]["rented_seconds"] > spent
    assert "second" in next(book.glob("runs/009-once/*/notebook.ipynb")).read_text()


def test_a_machine_that_dies_for_good(book, cloud):
    there = start(book, "run", "003", *AWAY, more=cloud.environment)
    id = wait_for(lambda: records(book) and records(book)[0]["id"], LONG)
    wait_for(lambda: state(cloud, id).get("cells") == "5 of 8", LONG)
    cloud.kill()
    assert there.wait(LONG) == 1
    record = records(book)[0]
    assert record["status"] == "failed" and record["error"]["evalue"] and record["cost"]["dollars"] > 0
    assert "completed" in cell_states(book)  # what was done is here


def test_a_bad_line(book, cloud):
    cloud.faults.update(lose_output=2, queue_delay=2.0, unavailable=3)
    done = away(book, cloud, "run", "001", *AWAY)
    assert done.returncode == 0 and "It works in 2 steps." in done.stdout, done.stdout + done.stderr
    assert not cloud.faults["lose_output"] and not cloud.faults["unavailable"]  # they did happen


def test_the_money_is_spent(book, cloud):
    done = away(book, cloud, "run", "003", "--max-cost", f"{41 * T4:.6f}", *AWAY)  # 41 s, of which 20 are kept for going
    assert done.returncode == 1 and "OutOfBudget" in done.stdout, done.stdout + done.stderr
    record = records(book)[0]
    assert record["status"] == "interrupted" and record["cost"]["rented_seconds"] < 41


def test_a_sweep(book, cloud):
    before = len(cloud.calls)
    done = away(book, cloud, "sweep", "001", "-p", "steps=1,2,3", "--max-cost", "0.3", *AWAY)
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(book)
    assert sorted(r["result"]["steps"] for r in found) == [1, 2, 3] and {round(r["budget"], 3) for r in found} == {0.1}
    id, = {r["sweep"]["id"] for r in found}
    page = (book / f"site/sweeps/{id}.html").read_text()
    assert all(f"It works in {n} steps." in page for n in (1, 2, 3)) and 'class="sortable"' in page
    assert {m.partition_key.decode() for name, m in cloud.calls[before:] if name == "QueuePut"} == {id}


def test_a_sweep_at_home(book):
    done = madlib(book, "sweep", "001", "-p", "steps=1,2")
    assert done.returncode == 0 and "steps=2: done  It works in 2 steps." in done.stdout
    assert [r["sweep"]["number"] for r in records(book)] == [1, 2]
    assert (book / done.stdout.strip().splitlines()[-1]).exists()
    again = madlib(book, "sweep", "--page", "latest")
    assert again.returncode == 0 and again.stdout.strip() == done.stdout.strip().splitlines()[-1]


def test_papermill_knows_the_engine(book, cloud):
    words = [Path(sys.executable).parent / "papermill", "nbs/001_good.ipynb", "out.ipynb", "-p", "steps", "3", "--engine", "modal", "--cwd", "."]
    done = subprocess.run(words, cwd=book, env=environment() | cloud.environment, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, done.stderr
    assert "It works in 3 steps." in (book / "out.ipynb").read_text()
    assert not list(cloud.volume("madlib-runs").glob("papermill-*"))  # nothing of it stays there
    words[1] = "nbs/002_bad.ipynb"
    done = subprocess.run(words[:3] + words[6:], cwd=book, env=environment() | cloud.environment, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 1 and "JSONDecodeError" in done.stderr


def test_ctrl_c_leaves_it_running(book, cloud):
    there = start(book, "run", "003", *AWAY, more=cloud.environment)
    id = wait_for(lambda: records(book) and records(book)[0]["id"], LONG)
    wait_for(lambda: state(cloud, id), LONG)
    there.send_signal(signal.SIGINT)
    assert there.wait(60) == 130 and f"madlib cancel {id}" in (book / "out").read_text()
    assert records(book)[0]["status"] == "running" and [c for c in cloud.containers if c.alive]
    assert away(book, cloud, "cancel", id).returncode == 0


def test_ctrl_c_asks_whoever_sits_there(book, cloud):
    mine, its = pty.openpty()
    there = subprocess.Popen(command("run", "003", *AWAY), cwd=book, env=environment() | cloud.environment, stdin=its, stdout=its, stderr=its, start_new_session=True)
    heard = []
    def listen():
        with suppress(OSError):
            while words := os.read(mine, 4096): heard.append(words)
    Thread(target=listen, daemon=True).start()
    id = wait_for(lambda: records(book) and records(book)[0]["id"], LONG)
    wait_for(lambda: state(cloud, id), LONG)
    there.send_signal(signal.SIGINT)
    wait_for(lambda: b"Stop what runs there?" in b"".join(heard), LONG)
    os.write(mine, b"y\n")
    assert there.wait(LONG) == 130
    assert (records(book)[0]["status"], records(book)[0]["error"]["ename"]) == ("interrupted", "Cancelled")


def test_an_image_that_cannot_be_built(book, cloud):
    cloud.faults["image_fails"] = "no matching distribution found for torch==99"
    (book / "own.py").write_text("class Mine: pass")
    done = away(book, cloud, "run", "001", *AWAY)
    assert done.returncode == 2 and "Modal did not take it" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert records(book)[0]["status"] == "failed"


@pytest.mark.parametrize("more, says", [
    ({"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": ""}, "`modal token new` creates them"),
    ({"MODAL_TOKEN_SECRET": "as-wrong"}, "refuses the credentials"),
    ({"MODAL_SERVER_URL": "http://127.0.0.1:9"}, "cannot be reached at 127.0.0.1"),
])
def test_without_a_way_to_modal(book, cloud, more, says):
    began = time.monotonic()
    done = subprocess.run(command("run", "001", *AWAY), cwd=book, env=environment() | cloud.environment | more, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert time.monotonic() - began < 15 and records(book) == []


@pytest.mark.parametrize("words, says", [
    (["--gpu", "T5"], "Did you mean 'T4'?"),
    (["--max-cost", "0.0001"], "too little to begin"),
    (["--engine", "modla"], "Did you mean 'modal'?"),
])
def test_asked_wrongly(book, words, says):
    done = madlib(book, "run", "001", *(AWAY if "--engine" not in words else []), *words)
    assert done.returncode == 2 and says in done.stderr and records(book) == []


def test_a_gpu_is_for_rented_machines(book):
    done = madlib(book, "run", "001", "--gpu", "T4")
    assert done.returncode == 2 and "add --engine modal" in done.stderr


def test_nobody_is_there_to_be_asked(book, cloud):
    done = away(book, cloud, "run", "001", "--engine", "modal", stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "--yes" in done.stderr and records(book) == []


def test_a_budget_that_cannot_hold_one_trial(book):
    write_experiment(book, "008_known", "print(1)")
    folder = book / "runs/008-known/20260101T000000Z-aaaaaa"
    folder.mkdir(parents=True)
    past = {"schema": 1, "id": folder.name, "experiment": {"name": "008_known", "title": "known"}, "status": "done", "started": "2026-01-01T00:00:00Z", "preset": "quick", "seconds": 9000.0,
            "machine": {"gpu": "T4", "cores": 2, "memory_gib": 8}, "cost": {"trials": 2, "trial_seconds": 9000.0, "reused": 0}}
    (folder / "run.json").write_text(json.dumps(past))
    done = madlib(book, "run", "008", "--max-cost", "0.1", *AWAY)
    assert done.returncode == 2 and "one trial took 75 min 00 s on T4" in done.stderr
