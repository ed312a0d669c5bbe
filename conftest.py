"""Every notebook is a test; browser tests must run where they are required."""

import importlib
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import nbdev.test
import pytest

ROOT = Path(__file__).resolve().parent
FLAGS_OF_CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS = ["slow", "cuda"]  # cells that the test run leaves out, as in [tool.nbdev] tst_flags
MANY_IMPORT = ["madlib", "torch._dynamo", "pandas", "plotly.io._renderers", "scipy.stats", "fastcore.test", "loky", "papermill", "hypothesis"]


@pytest.fixture(scope="session", autouse=True)
def runs_elsewhere(tmp_path_factory):
    "Tests leave the workbook's own runs alone."
    os.environ["MADLIB_RUNS"] = str(tmp_path_factory.mktemp("runs"))
    yield
    del os.environ["MADLIB_RUNS"]


@pytest.fixture(scope="session")
def chromium():
    "Debian's Chromium, started once for all tests of a process."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS_OF_CHROMIUM)
        yield browser
        browser.close()


FIRST, THEN = ("test_modal.py", "test_suite.py"), ("test_lab.py", "test_resume.py")


def pytest_collection_modifyitems(items):
    """The longest files first, so that nothing waits for them at the end; and an error instead of a skip where browser tests are required.

    A notebook is forked from this process, which must not have trained a model or started a browser before: such files come after the notebooks."""
    rank = lambda item: 0 if item.path.name in FIRST else 1 if isinstance(item, NotebookItem) else 2 if item.path.name in THEN else 3
    items.sort(key=rank)
    if os.environ.get("MADLIB_BROWSER") == "required" and not shutil.which("chromium"):
        raise pytest.UsageError("MADLIB_BROWSER=required, but there is no chromium: apt-get install chromium")


def pytest_terminal_summary(terminalreporter):
    "Say whether the browser tests ran."
    ran = [r for r in terminalreporter.stats.get("passed", []) if "browser" in r.keywords]
    terminalreporter.write_line(f"browser tests passed: {len(ran)}")


def pytest_sessionfinish(session, exitstatus):
    "Where browser tests are required, a run of the whole suite in which none passed has failed."
    if os.environ.get("MADLIB_BROWSER") != "required" or exitstatus or hasattr(session.config, "workerinput"): return
    passed = session.config.pluginmanager.get_plugin("terminalreporter").stats.get("passed", [])
    if not any("browser" in r.keywords for r in passed): session.exitstatus = pytest.ExitCode.TESTS_FAILED


class NotebookFile(pytest.File):
    "A notebook under nbs/."

    def collect(self): yield NotebookItem.from_parent(self, name="runs")


def _run_notebook(path):
    "Run one notebook from top to bottom as nbdev does, flags and all, in the workbook's own settings; the exit status says whether it passed."
    import torch
    os.environ.pop("MADLIB_RUNS", None)
    torch.manual_seed(67280421310721)  # the same draws in every test run, whatever was drawn before
    sys.exit(not nbdev.test.test_nb(path, skip_flags=FLAGS, cell_timeout=300)[0])


class NotebookItem(pytest.Item):
    "A notebook in a process of its own, so that none sees names or compiled code of another."

    def runtest(self):
        for name in MANY_IMPORT: importlib.import_module(name)  # once here, not in every notebook's process
        one = multiprocessing.get_context("fork").Process(target=_run_notebook, args=(self.path,))
        one.start()
        one.join()
        if one.exitcode: pytest.fail(f"a cell of {self.path.relative_to(ROOT)} failed; its traceback stands in the captured output", pytrace=False)

    def reportinfo(self): return self.path, 0, f"notebook {self.path.relative_to(ROOT)}"


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb" and "checkpoint" not in str(file_path): return NotebookFile.from_parent(parent, path=file_path)
