"""In a notebook, training shows its curve and can be interrupted; in JupyterLab, the way from the start page to the first tutorial's last figure works."""

import json
import os
import re
import time

import psutil
import pytest
from browser import needs_browser
from jupyter_client import KernelManager
from test_structure import NOTEBOOKS, ROOT, copy_of_the_repository
from workbooks import start, wait_for

from madlib.run.experiments import describe

TRAIN = """from madlib.tasks.mqar import MQAR
from madlib.train.compare import compare
from madlib.train.loop import Model, Train, Variant

task = MQAR(vocab_size=16, seq_len=16, n_pairs=2)
train = Train(steps={steps}, batch_size=32, seeds=3, n_valid=100, n_test=200, eval_every=10, stop_at=None)
result = compare([Variant("softmax"), Variant("relu", "linear", {{"feature_map": "relu"}})], task, train, Model(d_model=16), folder={folder!r}, workers={workers})
print(result.trials["reused"].sum(), "were there")"""


@pytest.fixture
def kernel(tmp_path):
    "A kernel such as JupyterLab starts, and what it shows."
    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def shown(client, code, look=lambda html: None):
    "Run a cell; every HTML it showed, what it printed, and its error's name and words. `look` sees the HTML as it comes."
    asked, pages, printed, error = client.execute(code), [], "", None
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != asked: continue
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            pages.append(content["data"].get("text/html", ""))
            look(pages[-1])
        if kind == "stream": printed += content["text"]
        if kind == "error": error = content["ename"], content["evalue"]
        if kind == "status" and content["execution_state"] == "idle": return pages, printed, error


def workers_of(manager) -> list:
    "The processes that train for a kernel."
    family = psutil.Process(manager.provisioner.pid).children(recursive=True)
    return [p for p in family if p.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(p.cmdline())]


@pytest.mark.parametrize("workers", [2, 1])
def test_training_shows_its_curve_and_goes_on_after_an_interrupt(kernel, tmp_path, workers):
    manager, client = kernel
    cell, asked = TRAIN.format(steps=200, folder=str(tmp_path / "trials"), workers=workers), []

    def interrupt(html):
        if not asked and "<polyline" in html and list((tmp_path / "trials").glob("*/trial.json")): asked.append(manager.interrupt_kernel())

    pages, printed, error = shown(client, cell, interrupt)
    assert asked, "it ended before it could be interrupted"
    assert error[0] == "KeyboardInterrupt" and "of 6 trials are finished and on disk; run the cell again" in error[1]
    assert "interrupted" in pages[-1] and "<polyline" in pages[-1], "the picture of an interrupted training stays"
    finished = len(list((tmp_path / "trials").glob("*/trial.json")))
    assert 1 <= finished < 6 and int(error[1].split()[0]) <= finished
    wait_for(lambda: not workers_of(manager), 10, "a worker lives on")

    pages, printed, error = shown(client, cell)
    assert error is None and f"{finished} were there" in printed
    assert "6 of 6 trials" in pages[-1] and "<svg" not in pages[-1], "the finished notebook keeps no picture of the training"
    assert any("<polyline" in p for p in pages)


def test_an_interrupt_while_workers_start_leaves_nothing_behind(kernel, tmp_path):
    manager, client = kernel
    shown(client, "import madlib.train.compare")
    cell, asked = TRAIN.format(steps=200, folder=str(tmp_path / "trials"), workers=2), []

    def interrupt(html):
        if not asked:
            time.sleep(0.7)
            asked.append(manager.interrupt_kernel())

    _, printed, error = shown(client, cell, interrupt)
    assert error[0] == "KeyboardInterrupt" and "Traceback" not in printed
    wait_for(lambda: not workers_of(manager), 10, "a worker lives on")


PORT, TOKEN = 18_700 + os.getpid() % 1000, "for-a-test"


@pytest.fixture
def lab(tmp_path):
    "`madlib lab` in a copy of the workbook, with no settings but its own."
    book = copy_of_the_repository(tmp_path / "book")
    homes = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    words = ("lab", "--no-browser", "--allow-root", f"--port={PORT}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}")
    server = start(book, *words, more=homes | {"PYTHONPATH": str(book)})
    yield book
    server.terminate()
    server.wait(30)


class TestInJupyterLab:
    pytestmark = needs_browser

    def test_from_the_start_page_to_the_last_figure_of_the_first_tutorial(self, chromium, lab):
        tab, wrong, here = chromium.new_page(viewport={"width": 1400, "height": 1000}), [], f"http://localhost:{PORT}"
        tab.set_default_timeout(120_000)  # on a loaded machine; nothing waits longer than it must
        tab.on("request", lambda r: None if r.url.startswith((here, f"ws{here[4:]}", "data:", f"blob:{here}")) else wrong.append(f"asked for {r.url[:120]}"))
        tab.on("pageerror", lambda e: wrong.append(str(e)))
        wait_for(lambda: "is running at" in (lab / "out").read_text(), 100, "JupyterLab did not start")
        tab.goto(f"{here}/?token={TOKEN}")
        page = tab.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        page.get_by_role("heading", name="Start here").wait_for()
        tab.screenshot(path=lab / "start.png")
        page.get_by_role("link", name="A first mixer").first.click()
        page.get_by_role("heading", name="A first mixer").wait_for()
        idle = tab.get_by_text("Python 3 (ipykernel) | Idle")
        idle.wait_for()
        tab.get_by_role("menuitem", name="Run", exact=True).click()
        tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        curve = page.locator("svg[aria-label='learning curves so far']")
        curve.locator("polyline").first.wait_for(state="attached")
        tab.screenshot(path=lab / "training.png")
        curve.wait_for(state="detached")
        last = page.locator(".jp-CodeCell").last
        last.locator(".jp-InputPrompt", has_text=re.compile(r"\d")).wait_for()
        last.scroll_into_view_if_needed()
        last.locator(".jp-OutputArea .main-svg").first.wait_for()
        idle.wait_for()
        tab.screenshot(path=lab / "figure.png")
        assert page.locator("[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        assert tab.get_by_text("Jupyter news").count() == 0 and wrong == []


def test_the_start_page_has_a_link_to_every_page_and_none_that_leads_nowhere():
    page = json.loads((ROOT / "nbs/start.ipynb").read_text())
    text = "\n".join("".join(o["data"]["text/markdown"]) for c in page["cells"] for o in c.get("outputs", [])) + "".join("".join(c["source"]) for c in page["cells"])
    linked = set(re.findall(r"\]\(([^)]+\.ipynb)\)", text))
    here = {p.relative_to(ROOT / "nbs").as_posix() for p in NOTEBOOKS} - {"start.ipynb", "index.ipynb"}
    assert linked == here, "run `make sync` and commit nbs/start.ipynb"
    for p in NOTEBOOKS:
        e = describe(p)
        assert e.path.stem in ("start", "index") or (e.title in text and (e.summary in text or p.parent.name == "experiments")), f"{e.title}: run `make sync` and commit nbs/start.ipynb"
