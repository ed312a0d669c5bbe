"""A run that is killed in the middle of a cell: its record is true and no process is left."""

import json
import os
import signal
import time

import psutil
import pytest
from workbooks import cell_states, madlib, records, start, wait_for, write_experiment, write_workbook


@pytest.fixture
def book(tmp_path): return write_workbook(tmp_path / "b")


def begin(book):
    "Start the slow experiment and wait until its cell runs: the command, its kernel, the kernel's worker."
    run = start(book, "run", "003")
    kernel, worker = map(int, wait_for(lambda: (book / "pids").exists() and (book / "pids").read_text().split()))
    return run, psutil.Process(kernel), psutil.Process(worker)


def gone(process) -> bool: return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop(book, number):
    run, kernel, worker = begin(book)
    run.send_signal(number)
    assert run.wait(30) == 130, (book / "out").read_text()
    wait_for(lambda: gone(kernel) and gone(worker), 5, "a process was left behind")
    record, = records(book)
    assert record["status"] == "interrupted" and record["error"]["evalue"] == f"by {number.name}" and record["ended"]
    assert cell_states(book) == ["completed"] * 4 + ["failed", "pending"]
    assert "Traceback" not in (book / "out").read_text()


def test_stopped_twice_at_once(book):
    run, kernel, worker = begin(book)
    for _ in range(5):
        run.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert run.wait(30) == 130
    wait_for(lambda: gone(kernel) and gone(worker), 5)
    assert records(book)[0]["status"] == "interrupted"


def test_stopped_while_the_kernel_starts(book):
    run = start(book, "run", "003")
    wait_for(lambda: list(book.glob("runs/*/*/run.json")))
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == 130, (book / "out").read_text()
    assert records(book)[0]["status"] == "interrupted"
    assert not set(cell_states(book)) & {"failed", "running"} or "failed" in cell_states(book)
    assert [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == run.pid] == []


def test_killed(book):
    run, kernel, worker = begin(book)
    assert "running" in madlib(book, "status").stdout
    wait_for(lambda: "begun" in next(book.glob("runs/*/*/notebook.ipynb")).read_text(), 10, "the output of the running cell was not saved")
    run.kill()
    run.wait(10)
    wait_for(lambda: gone(kernel), 10, "the kernel outlived the command")
    worker.kill()
    record, = records(book)
    assert record["status"] == "running" and record["ended"] is None
    status = madlib(book, "status").stdout
    assert "died" in status and "running" not in status
    assert cell_states(book)[-2:] == ["running", "pending"]
    assert madlib(book, "run", "001").returncode == 0


def test_a_process_number_that_was_used_again_is_not_taken_for_the_run(book):
    assert madlib(book, "run", "001").returncode == 0
    path, = book.glob("runs/*/*/run.json")
    record = json.loads(path.read_text())
    record["process"]["pid"] = os.getpid()
    path.write_text(json.dumps(record | {"status": "running"}))
    assert "died" in madlib(book, "status").stdout


def test_a_cell_that_ignores_being_interrupted(book):
    stubborn = "import time\nend = time.time() + 60\nwhile time.time() < end:\n    try: time.sleep(60)\n    except KeyboardInterrupt: pass"
    write_experiment(book, "005_stubborn", stubborn)
    began = time.monotonic()
    assert madlib(book, "run", "005", "--timeout", "1").returncode == 1
    assert time.monotonic() - began < 40 and records(book)[0]["error"]["ename"] == "CellTimeoutError"
