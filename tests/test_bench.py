"""Benchmarks: run like an experiment, recorded apart, reported without a verdict; the real one in its smallest preset."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from workbooks import madlib, records, write_workbook

BENCHMARKS = Path(__file__).parent.parent / "nbs/benchmarks"
HAND = """from madlib.core.record import hand_over
hand_over({"finding": f"A sum of {size} numbers takes {size} ns.", "measured": [{"size": size, "ns": 1.0 * size}], "config": {"threads": 1}})"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    "A workbook with a benchmark called speed."
    root = write_workbook(tmp_path_factory.mktemp("bench") / "book")
    (root / "nbs/benchmarks").mkdir()
    presets = new_code_cell("PRESETS = {'smoke': {'size': 1}, 'quick': {'size': 2}}", metadata={"tags": ["presets"]})
    parameters = new_code_cell('preset: str = "smoke"  # smoke or quick\nsize: int = 0  # how many; 0: as the preset says', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# How fast is a sum?\n\n> Very."), presets, parameters, new_code_cell("size = size or PRESETS[preset]['size']"), new_code_cell(HAND)]
    nbformat.write(new_notebook(cells=cells), root / "nbs/benchmarks/speed.ipynb")
    return root


@pytest.fixture(scope="module")
def good(book): return madlib(book, "bench", "speed", "-p", "size=5")


def test_a_benchmark_is_run_and_recorded(book, good):
    assert good.returncode == 0, good.stderr
    finding, page = good.stdout.strip().splitlines()
    assert finding == "A sum of 5 numbers takes 5 ns."
    record, = records(book)
    folder = book / "runs/bench-speed" / record["id"]
    assert {p.name for p in folder.iterdir()} == {"run.json", "notebook.ipynb"} and page == f"site/runs/bench-speed/{folder.name}.html"
    assert record["status"] == "done" and record["preset"] == "quick" and record["parameters"] == {"preset": "quick", "size": 5}
    assert record["experiment"] | {"sha256": ""} == {"number": "", "name": "bench_speed", "title": "How fast is a sum?", "notebook": "nbs/benchmarks/speed.ipynb", "sha256": ""}
    assert record["criteria_changed"] is None and record["result"]["measured"] == [{"size": 5, "ns": 5.0}]


def test_its_report_says_what_was_measured(book, good):
    page = (book / good.stdout.strip().splitlines()[-1]).read_text()
    verdict = page.split('id="verdict"')[1].split("</section>")[0]
    assert "Measured" in verdict and "A sum of 5 numbers takes 5 ns." in verdict and "Decided beforehand" not in verdict
    assert "<dt>threads</dt><dd>1</dd>" in page and "<dt>device</dt>" in page and "<dt>took</dt>" in page
    assert "What was measured" in page and "criteria changed" not in page
    index = (book / "site/data/runs.js").read_text()
    assert "bench-speed" in index and "A sum of 5 numbers takes 5 ns." in index


def test_it_is_listed(book, good):
    listed = madlib(book, "bench").stdout
    assert re.search(r"speed +done +1 +smoke quick +How fast is a sum\?", listed) and "takes 5 ns." in listed
    assert "bench-speed" in madlib(book, "status").stdout and "speed" not in madlib(book, "list").stdout
    assert "site/runs/bench-speed" in madlib(book, "report", "bench-speed").stdout


@pytest.mark.parametrize("words, says", [
    (["sped"], "Unknown benchmark 'sped'. Did you mean 'speed'? Known: speed."),
    (["speed", "-p", "sise=5"], "Did you mean 'size'?"),
    (["speed", "--preset", "quikc"], "Did you mean 'quick'?"),
])
def test_mistakes_are_one_line(book, words, says):
    done = madlib(book, "bench", *words)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_a_workbook_without_benchmarks(tmp_path):
    root = write_workbook(tmp_path / "b")
    assert "No benchmarks in nbs/benchmarks yet." in madlib(root, "bench").stdout
    assert "Known: none" in madlib(root, "bench", "ops").stderr


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_the_smallest_preset(tmp_path, path):
    root = write_workbook(tmp_path / "b")
    (root / "nbs/benchmarks").mkdir()
    shutil.copy(path, root / "nbs/benchmarks")
    done = madlib(root, "bench", path.stem, "--preset", "smoke", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    record, = records(root)
    result = record["result"]
    assert record["preset"] == "smoke" and result["benchmark"] == path.stem and result["finding"] == done.stdout.splitlines()[0]
    assert result["config"]["threads"] == 1 and result["measured"] and "NaN" not in json.dumps(result)
