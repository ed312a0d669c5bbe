"""The command line from outside: what it prints, what it records, what it refuses."""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from workbooks import cell_states, command, environment, madlib, records, write_experiment, write_workbook


@pytest.fixture(scope="module")
def book(tmp_path_factory): return write_workbook(tmp_path_factory.mktemp("book") / "workbook")


@pytest.fixture(scope="module")
def good(book): return madlib(book, "run", "001", "-p", "steps=7")


def test_done(book, good):
    assert good.returncode == 0, good.stderr
    verdict, page = good.stdout.strip().splitlines()
    assert verdict == "It works in 7 steps."
    assert (book / page).is_file()
    record = next(r for r in records(book) if r["experiment"]["number"] == "001")
    assert record["status"] == "done" and record["preset"] == "quick" and record["parameters"] == {"preset": "quick", "steps": 7}
    assert record["result"]["steps"] == 7 and record["error"] is None and record["ended"] and record["seconds"] > 0
    assert record["versions"]["python"] == sys.version.split()[0] and "torch" in record["versions"]
    assert not list((book / "runs").glob("*/*/.reserve"))


def test_progress_reaches_the_terminal(good):
    assert "3 of 3 trials · best 98 %" in good.stderr
    assert "Run" in good.stderr and "WARNING" not in good.stderr


def test_failed(book):
    done = madlib(book, "run", "002")
    assert done.returncode == 1 and "JSONDecodeError" in done.stdout and "Traceback" not in done.stderr
    folder = next((book / "runs/002-bad").iterdir())
    record = json.loads((folder / "run.json").read_text())
    cells = json.loads((folder / "notebook.ipynb").read_text())["cells"]
    assert record["status"] == "failed" and record["error"]["ename"] == "JSONDecodeError" and record["result"] is None
    assert cells[record["error"]["cell"]]["metadata"]["papermill"]["status"] == "failed"
    assert cells[-1]["metadata"]["papermill"]["status"] == "pending"


def test_no_path_of_this_machine(book, good):
    madlib(book, "run", "002")
    homes = [str(book), str(Path.home()), tempfile.gettempdir() + "/", sys.prefix, sys.base_prefix]
    for path in [*book.glob("runs/*/*/run.json"), *book.glob("runs/*/*/notebook.ipynb")]:
        text = path.read_text()
        assert [h for h in homes if re.search(re.escape(h) + r"(?![\w.-])", text)] == [], path.name


def test_cell_timeout(tmp_path):
    root = write_workbook(tmp_path / "b")
    done = madlib(root, "run", "003", "--timeout", "2")
    assert done.returncode == 1 and "the cell ran longer than 2 s" in done.stdout
    assert records(root)[0]["status"] == "failed" and records(root)[0]["error"]["ename"] == "CellTimeoutError"
    assert cell_states(root)[-2:] == ["failed", "pending"]


def test_no_result(tmp_path):
    root = write_workbook(tmp_path / "b")
    done = madlib(root, "run", "004_plain")
    assert done.returncode == 0 and "without handing over a result" in done.stdout and records(root)[0]["result"] is None


def test_a_kernel_that_dies(tmp_path):
    root = write_workbook(tmp_path / "b")
    write_experiment(root, "005_dies", "import os\nos._exit(9)")
    done = madlib(root, "run", "005")
    assert done.returncode == 1 and records(root)[0]["error"]["ename"] == "DeadKernelError" and cell_states(root)[-1] == "failed"


@pytest.mark.parametrize("words, says", [
    (["rnu", "001"], "Did you mean 'run'?"),
    (["run", "101"], "Known: 001, 002, 003, 004"),
    (["run", "goood"], "Did you mean '001_good'?"),
    (["run", "001", "-p", "stesp=5"], "Did you mean 'steps'?"),
    (["run", "001", "-p", "steps=many"], "'steps' is int"),
    (["run", "001", "-p", "steps"], "name=value"),
    (["run", "001", "--preset", "quikc"], "Did you mean 'quick'?"),
    (["run", "001", "--engine", "locla"], "Did you mean 'local'?"),
    (["run", "001", "--fresh"], "no parameter named fresh"),
    (["run", "001", "--prest", "quick"], "--preset"),
    (["new", "001", "Again?"], "005 is free"),
    (["report", "003"], "has no run yet"),
    (["report", "nowhere.ipynb"], "no notebook"),
])
def test_mistakes_are_one_line(tmp_path_factory, words, says):
    root = tmp_path_factory.getbasetemp() / "mistakes"
    if not root.exists(): write_workbook(root)
    done = madlib(root, *words)
    assert done.returncode == 2 and says in done.stderr and done.stdout == ""
    assert len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr
    assert not (root / "runs").exists()


def test_settings_with_a_misspelt_key(tmp_path):
    root = write_workbook(tmp_path / "b")
    (root / "settings.ini").write_text("[madlib]\nworker = 2\n")
    done = madlib(root, "list")
    assert done.returncode == 2 and "Did you mean 'workers'?" in done.stderr


def test_outside_a_workbook_the_package_s_own_is_meant(tmp_path):
    done = madlib(tmp_path, "list")
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr


def test_two_runs_at_once_have_a_folder_each(tmp_path):
    root = write_workbook(tmp_path / "b")
    both = [subprocess.Popen(command("run", "001"), cwd=root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [p.wait(100) for p in both] == [0, 0]
    assert len({r["id"] for r in records(root)}) == 2 and all(r["status"] == "done" for r in records(root))


def test_list_and_status(tmp_path):
    root = write_workbook(tmp_path / "b")
    assert madlib(root, "run", "001").returncode == 0
    (root / "runs/001-good/20200101T000000Z-ffffff").mkdir()
    (root / "runs/001-good/20200101T000000Z-ffffff/run.json").write_text("{ half")
    listed, status = madlib(root, "list").stdout, madlib(root, "status").stdout.splitlines()
    assert re.search(r"001 +done +1 +smoke quick", listed) and "It works in 2 steps." in listed and re.search(r"002 +proposal +0", listed)
    assert "done" in status[1] and "It works in 2 steps." in status[1] and "damaged" in status[2] and "unreadable" in status[2]


def test_new(tmp_path):
    root = write_workbook(tmp_path / "b")
    done = madlib(root, "new", "65", "Does decay help recall?", "--impact", "7", "--cost", "$0.40")
    nb = json.loads((root / "nbs/065_does_decay_help_recall.ipynb").read_text())
    tags = [t for c in nb["cells"] for t in c["metadata"].get("tags", [])]
    assert done.returncode == 0 and tags == ["presets", "parameters"]
    assert "$0.40" in "".join(nb["cells"][0]["source"]) and "065" in madlib(root, "list").stdout


def test_plain_papermill_runs_the_same_notebook(book):
    words = [sys.executable, "-m", "papermill", "nbs/001_good.ipynb", "out.ipynb", "-p", "preset", "smoke", "-k", "python3", "--no-progress-bar"]
    done = subprocess.run(words, cwd=book, env=environment(), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "It works in 1 steps." in (book / "out.ipynb").read_text()


FULL_DISK = """
import errno, glob, os, sys
from unittest.mock import patch
when = sys.argv.pop(1)
def full(fd):
    if os.path.exists("full") and (when == "always" or glob.glob("runs/*/*/.reserve")): raise OSError(errno.ENOSPC, "No space left on device")
with patch("os.fsync", full):
    from madlib.run.cli import app
    app()
"""


@pytest.mark.parametrize("when", ["until the reserve is gone", "always"])
def test_full_disk(tmp_path, when):
    root = write_workbook(tmp_path / "b")
    write_experiment(root, "006_fills", HAND_AND_FILL)
    words = [sys.executable, "-c", FULL_DISK, when, "run", "006"]
    done = subprocess.run(words, cwd=root, env=environment(), capture_output=True, text=True, timeout=100)
    record, = records(root)
    assert "Traceback" not in done.stderr
    if when == "always":
        assert done.returncode == 1 and "No space left" in done.stderr and record["status"] == "running"
        assert "died" in madlib(root, "status").stdout
    else:
        assert done.returncode == 0 and record["status"] == "done" and record["result"]["steps"] == 2
        assert set(cell_states(root)) == {"completed"}


HAND_AND_FILL = "from madlib.core.record import hand_over\nhand_over({'steps': steps})\nopen('full', 'w').close()"


def test_help_is_quick_and_has_examples():
    best = 9.0
    for _ in range(3):
        began = time.monotonic()
        done = madlib(Path.cwd(), "run", "--help")
        best = min(best, time.monotonic() - began)
    assert done.returncode == 0 and "madlib run 008 --preset smoke" in done.stdout and best < 2.0
    assert "madlib list" in madlib(Path.cwd()).stdout
