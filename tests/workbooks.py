"""Small workbooks to run commands in, without torch and in seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HAND = """from madlib.core.record import Progress, hand_over
bar = Progress(3)
for i in range(4): bar(i, "· best 98 %")
hand_over({"steps": steps, "criteria_hash": "ab", "verdict": {"decision": "proceed", "sentence": f"It works in {steps} steps."}})"""
WORKER = """import os, pathlib, subprocess, time
worker = subprocess.Popen(["sleep", "300"], start_new_session=True)
print("begun", flush=True)
pathlib.Path("pids.tmp").write_text(f"{os.getpid()} {worker.pid}")
os.rename("pids.tmp", "pids")
time.sleep(300)"""
TRACE = "import pathlib, warnings\nprint(pathlib.Path.cwd(), pathlib.Path.home())\nwarnings.warn('careful')\nimport json\njson.loads('{')"
EXPERIMENTS = {"001_good": [HAND], "002_bad": [TRACE, "print('never')"], "003_slow": [WORKER, "print('never')"], "004_plain": ["print('no result')"]}


def write_workbook(root: Path) -> Path:
    "A workbook with four experiments: one ends well, one fails, one waits, one hands nothing over."
    (root / "nbs").mkdir(parents=True)
    (root / "settings.ini").write_text("[madlib]\nruns = runs\nexperiments = nbs\npreset = quick\n")
    for name, sources in EXPERIMENTS.items(): write_experiment(root, name, *sources)
    return root


def write_experiment(root: Path, name: str, *sources: str) -> None:
    front = new_markdown_cell(f"# {name[:3]}: a small one\n\n> For tests.\n\n| | |\n|---|---|\n| priority | 2 |")
    presets = new_code_cell("PRESETS = {'smoke': {'steps': 1}, 'quick': {'steps': 2}}", metadata={"tags": ["presets"]})
    text = 'preset: str = "smoke"  # smoke or quick\nsteps: int = 0         # how many; 0: as the preset says'
    parameters = new_code_cell(text, metadata={"tags": ["parameters"]})
    derived = new_code_cell("steps = steps or PRESETS[preset]['steps']")
    cells = [front, presets, parameters, derived, new_markdown_cell("## Run"), *[new_code_cell(s) for s in sources]]
    metadata = {"kernelspec": {"name": "some-other-kernel", "display_name": "gone", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), root / f"nbs/{name}.ipynb")


def write_catalogue(path: Path, *entries: tuple[str, str]) -> None:
    "A catalogue of tricks: a name and a number each, all of them defined in the catalogue itself."
    text = "### {}\n\n| | |\n|---|---|\n| number | {} |\n| family | small |\n| defined in | [here]({}) |\n\nFor tests."
    cells = [new_markdown_cell(text.format(*e, path.name), metadata={"tags": ["remove_cell"]}) for e in entries]
    nbformat.write(new_notebook(cells=cells), path)


def command(*words: str) -> list[str]: return [sys.executable, "-c", "from madlib.run.cli import app; app()", *words]


def environment() -> dict: return {k: v for k, v in os.environ.items() if k != "MADLIB_RUNS"} | {"COLUMNS": "200", "NO_COLOR": "1"}


def madlib(root: Path, *words: str, more: dict | None = None, **kw) -> subprocess.CompletedProcess:
    "Run a command in a workbook to its end; `more` is added to its environment."
    return subprocess.run(command(*words), cwd=root, env=environment() | (more or {}), **{"capture_output": True, "text": True, "timeout": 100} | kw)


def start(root: Path, *words: str, more: dict | None = None) -> subprocess.Popen:
    "Start a command in a workbook, as the leader of a session of its own."
    out = (root / "out").open("w")
    hears = lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)  # even if the tests themselves run under nohup
    return subprocess.Popen(command(*words), cwd=root, env=environment() | (more or {}), stdout=out, stderr=out, start_new_session=True, preexec_fn=hears)


def wait_for(what, seconds: float = 30.0, message: str = "it never came"):
    "What `what` returns as soon as it is true."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what(): return found
        time.sleep(0.05)
    raise AssertionError(message)


def records(root: Path) -> list[dict]: return [json.loads(p.read_text()) for p in sorted((root / "runs").glob("*/*/run.json"))]


def cell_states(root: Path) -> list[str]:
    "What the executed notebook says of its code cells."
    nb = json.loads(next((root / "runs").glob("*/*/notebook.ipynb")).read_text())
    return [c["metadata"]["papermill"]["status"] for c in nb["cells"] if c["cell_type"] == "code"]
