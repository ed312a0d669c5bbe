"""A proposal as the command writes it: it passes the linter, runs as it stands, and ends with a verdict and a page."""

import subprocess
import sys
from pathlib import Path

from workbooks import madlib, records


def test_a_proposal_runs_as_it_is_written(tmp_path):
    root = tmp_path / "book"
    (root / "nbs/experiments").mkdir(parents=True)
    (root / "settings.ini").write_text("[madlib]\n")
    made = madlib(root, "new", "065", "Do levels help recall?", "--priority", "1")
    assert made.returncode == 0 and "nbs/experiments/065_do_levels_help_recall.ipynb" in made.stdout, made.stderr
    config = Path(__file__).parent.parent / "pyproject.toml"
    lint = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--config", config, root], capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout

    done = madlib(root, "run", "065", "--preset", "smoke", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    record, = records(root)
    result = record["result"]
    assert record["status"] == "done" and record["preset"] == "smoke" and result["experiment"] == "065"
    assert result["verdict"]["preliminary"] and result["verdict"]["sentence"] == done.stdout.splitlines()[0]
    assert [row["variant"] for row in result["summary"]] == ["softmax", "linear", "log_linear"] and len(result["criteria"]) == 2
    page = root / done.stdout.splitlines()[-1]
    assert page.name == "report.html" and "Do levels help recall?" in page.read_text()
    assert "065  done" in madlib(root, "list").stdout
