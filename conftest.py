"""Every notebook is a test; browser tests must run where they are required."""

import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import nbdev.test
import pytest
import torch  # noqa: F401  (imported once here, not by every notebook's process)

ROOT = Path(__file__).resolve().parent
FLAGS = ["slow", "cuda"]  # cells that the test run leaves out, as in [tool.nbdev] tst_flags


@pytest.fixture(scope="session", autouse=True)
def runs_elsewhere(tmp_path_factory):
    "Tests leave the workbook's own runs alone."
    os.environ["MADLIB_RUNS"] = str(tmp_path_factory.mktemp("runs"))
    yield
    del os.environ["MADLIB_RUNS"]


def pytest_collection_modifyitems(items):
    "Notebooks first, and an error instead of a skip where browser tests are required."
    items.sort(key=lambda item: not isinstance(item, NotebookItem))
    if os.environ.get("MADLIB_BROWSER") == "required" and not shutil.which("chromium"):
        raise pytest.UsageError("MADLIB_BROWSER=required, but there is no chromium: apt-get install chromium")


def pytest_terminal_summary(terminalreporter):
    "Say whether the browser tests ran."
    ran = [r for r in terminalreporter.stats.get("passed", []) if "browser" in r.keywords]
    terminalreporter.write_line(f"browser tests passed: {len(ran)}")


def pytest_sessionfinish(session, exitstatus):
    "Where browser tests are required, a run of the whole suite without any has failed."
    if os.environ.get("MADLIB_BROWSER") != "required" or exitstatus: return
    chosen = [i for i in session.items if i.get_closest_marker("browser")]
    if not chosen: session.exitstatus = pytest.ExitCode.TESTS_FAILED


class NotebookFile(pytest.File):
    "A notebook under nbs/."

    def collect(self): yield NotebookItem.from_parent(self, name="runs")


def _run_notebook(path):
    "Run one notebook from top to bottom as nbdev does, flags and all; the exit status says whether it passed."
    sys.exit(not nbdev.test.test_nb(path, skip_flags=FLAGS, cell_timeout=300)[0])


class NotebookItem(pytest.Item):
    "A notebook in a process of its own, so that none sees names or compiled code of another."

    def runtest(self):
        one = multiprocessing.get_context("fork").Process(target=_run_notebook, args=(self.path,))
        one.start()
        one.join()
        assert one.exitcode == 0, f"a cell of {self.path.relative_to(ROOT)} failed; the traceback is in the captured output"

    def reportinfo(self): return self.path, 0, f"notebook {self.path.relative_to(ROOT)}"


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb" and "checkpoint" not in str(file_path): return NotebookFile.from_parent(parent, path=file_path)
