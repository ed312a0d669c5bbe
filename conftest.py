"""Every notebook is a test; browser tests must run where they are required."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

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


class NotebookItem(pytest.Item):
    "Runs a notebook from top to bottom as nbdev does, flags and all."

    def runtest(self):
        from nbdev.test import test_nb
        handler = signal.getsignal(signal.SIGINT)  # test_nb replaces it by one that ends the process
        try: passed, _ = test_nb(self.path, skip_flags=FLAGS, cell_timeout=300)
        finally: signal.signal(signal.SIGINT, handler)
        compiler = sys.modules.get("torch._dynamo.utils")
        if compiler: compiler.CleanupManager.instance.clear()  # compiled cells leave hooks that would look for the notebook's names later
        assert passed, f"a cell of {self.path.relative_to(ROOT)} failed; the traceback is in the captured output"

    def reportinfo(self): return self.path, 0, f"notebook {self.path.relative_to(ROOT)}"


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb" and "checkpoint" not in str(file_path): return NotebookFile.from_parent(parent, path=file_path)
