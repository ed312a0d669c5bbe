"""A proposal as the command writes it: it passes the linter, runs as it stands, and ends with a verdict and a page."""

import subprocess
import sys
from pathlib import Path

from workbooks import madlib, records, write_catalogue

from madlib.run.experiments import describe


def test_a_proposal_runs_as_it_is_written(tmp_path):
    root = tmp_path / "book"
    (root / "nbs/experiments").mkdir(parents=True)
    (root / "settings.ini").write_text("[madlib]\n")
    write_catalogue(root / "nbs/tricks.ipynb", ("Fenwick levels", "073"), ("Short convolution", ""))
    words = ["new", "065", "Do levels help recall?", "--cost", "0.40", "--priority", "high", "--impact", "7"]
    wrong = madlib(root, *words, "--tricks", "073,short convolutoin")
    assert wrong.returncode == 2 and "Unknown trick 'short convolutoin'. Did you mean 'Short convolution'?" in wrong.stderr
    assert madlib(root, *words[:-3], "soon").returncode == 2 and not list((root / "nbs/experiments").iterdir())
    made = madlib(root, *words, "--tricks", "73,Short convolution")
    assert made.returncode == 0 and "nbs/experiments/065_do_levels_help_recall.ipynb" in made.stdout, made.stderr
    card = describe(root / "nbs/experiments/065_do_levels_help_recall.ipynb")
    assert (card.priority, card.impact, card.cost, card.tricks) == ("high", "7 of 10", "$0.40", ("Fenwick levels", "Short convolution"))
    assert "[Fenwick levels](../tricks.ipynb#Fenwick-levels)" in card.path.read_text()
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
    assert page.parts[-3:-1] == ("runs", "065-do-levels-help-recall") and "Do levels help recall?" in page.read_text()
    assert "065  done" in madlib(root, "list").stdout
