"""The repository keeps its shape: notebooks and package agree, folders import what the design allows, the wheel is whole, the code is linted."""

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MAY_IMPORT = {"core": set(), "tasks": {"core"}, "ops": {"core"}, "mixers": {"core", "ops", "numerics"}, "models": {"core", "mixers", "ops"},
              "train": {"core", "tasks", "models"}, "run": {"core"}, "numerics": {"core"}}
MODULES = sorted(p for p in (ROOT / "madlib").rglob("*.py") if p.parent != ROOT / "madlib")
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in str(p))
DEFINITIONS = [p for p in NOTEBOOKS if p.parent.name in MAY_IMPORT]
RUN = [p for p in NOTEBOOKS if p.parent.name in ("experiments", "benchmarks")]
name = lambda p: str(p.relative_to(ROOT))


def copy_of_the_repository(to: Path) -> Path:
    "What git would give somebody else, with the changes of the moment."
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for f in listed.splitlines():
        if (ROOT / f).is_file():
            (to / f).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / f, to / f)
    return to


def folders_imported(path: Path) -> set[str]:
    "The folders of the package that a module imports from."
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import): found |= {a.name for a in node.names}
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            found.add(".".join(filter(None, [base, node.module])))
    return {m.split(".")[1] for m in found if m.startswith("madlib.")}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_folder_imports_only_what_the_design_allows(path):
    folder = path.parent.name
    assert folders_imported(path) - {folder} <= MAY_IMPORT[folder]


def test_export_and_clean_leave_no_difference(tmp_path):
    copy = copy_of_the_repository(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    subprocess.run(["git", "add", "-A"], cwd=copy, check=True)
    for command in ("nbdev-export", "nbdev-clean"): subprocess.run([BIN / command], cwd=copy, check=True)
    changed = subprocess.run(["git", "diff", "--stat"], cwd=copy, capture_output=True, text=True, check=True).stdout
    assert not changed, f"run `make sync` and commit:\n{changed}"


def test_the_readme_is_the_index_page():
    index = nbformat.read(ROOT / "nbs/index.ipynb", 4)
    readme = (ROOT / "README.md").read_text()
    for cell in index.cells:
        if cell.cell_type == "markdown": assert cell.source.strip() in readme, "run `make sync` and commit README.md"


def test_the_wheel_holds_every_sub_package_and_asset(tmp_path):
    copy = copy_of_the_repository(tmp_path / "copy")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", copy], check=True, capture_output=True)
    held = set(zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))).namelist())
    wanted = {name(p) for p in (ROOT / "madlib").rglob("*") if p.suffix in {".py", ".js", ".css", ".j2"}}
    assert wanted <= held, sorted(wanted - held)


def test_the_code_is_linted():
    found = subprocess.run([BIN / "ruff", "check", "--quiet", "nbs", "tests", "conftest.py"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("path", DEFINITIONS, ids=name)
def test_a_definition_has_the_anatomy_of_a_page(path):
    nb = nbformat.read(path, 4)
    first = nb.cells[0].source
    assert re.match(r"# .+\n\n> .+", first), "the first cell is a title and a one-line summary"
    assert f"#| default_exp {path.parent.name}.{path.stem}" in nb.cells[1].source
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert max(len(c.source.splitlines()) for c in code) <= 40, "a cell of more than 40 lines wants a name for a part"
    assert path.stat().st_size < 300_000
    assert any(c.outputs for c in code), "a definition keeps its outputs: they are the page"


@pytest.mark.parametrize("path", RUN, ids=name)
def test_what_is_run_is_committed_without_outputs_and_with_its_tags(path):
    nb = nbformat.read(path, 4)
    assert not any(c.get("outputs") for c in nb.cells), "executed notebooks live in runs/"
    tags = [t for c in nb.cells for t in c.metadata.get("tags", [])]
    assert tags.count("parameters") == tags.count("presets") == 1


def test_nothing_committed_knows_this_machine():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    told = re.compile("|".join([re.escape(str(ROOT) + "/"), re.escape(str(Path.home()) + "/."), "python" + "hosted"]))
    for f in listed:
        if Path(f).suffix in {".ipynb", ".json", ".py", ".md", ".toml", ".ini", ".txt", ".html"} and (ROOT / f).is_file():
            found = told.search((ROOT / f).read_text())
            assert not found, f"{f} contains {found.group(0)!r}"


def test_records_can_be_read():
    for path in (ROOT / "runs").glob("*/*/run.json"):
        record = json.loads(path.read_text())
        assert {"id", "status", "experiment", "parameters", "result"} <= set(record), name(path)
