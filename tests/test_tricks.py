"""The catalogue of tricks: every entry points to something, every experiment names entries, and the page shows what was found."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from madlib.run.experiments import Experiment, describe, experiments
from madlib.run.tricks import tricks, tricks_of

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "nbs/tricks.ipynb"


def test_every_trick_points_to_what_defines_it():
    known = tricks(CATALOGUE)  # an error says which entry points to nothing
    assert len(known) > 40 and all(t.family and t.text and t.pages for t in known)


@pytest.mark.parametrize("experiment", experiments(ROOT / "nbs/experiments"), ids=lambda e: e.number)
def test_an_experiment_names_tricks_of_the_catalogue(experiment):
    known = tricks(CATALOGUE)
    meant = tricks_of(experiment, known)  # an error names the nearest
    assert len({t.name for t in meant}) == len(meant)


def test_an_unknown_trick_is_an_error_that_names_the_nearest():
    wrong = Experiment(Path("065_new.ipynb"), "065", "065_new", "New?", tricks=("Short convolution", "Monarch matrix"))
    with pytest.raises(ValueError, match=r"065_new\.ipynb, row tricks: Unknown trick 'Monarch matrix'\. Did you mean 'Monarch matrices' \(076\)\?"):
        tricks_of(wrong, tricks(CATALOGUE))


def test_a_trick_that_points_to_nothing_is_an_error(tmp_path):
    entry = "### Kahan sums\n\n| | |\n|---|---|\n| family | sums |\n| defined in | [kahan](numerics/sums.ipynb#kahan) |\n\nA sum that keeps what it lost."
    nbformat.write(new_notebook(cells=[new_markdown_cell(entry, metadata={"tags": ["remove_cell"]})]), tmp_path / "tricks.ipynb")
    with pytest.raises(ValueError, match="Kahan sums: points to numerics/sums.ipynb, which does not exist.*Write the notebook first"):
        tricks(tmp_path / "tricks.ipynb")


def test_entries_carry_the_tag_that_shows_them_once():
    shown = [c for c in nbformat.read(CATALOGUE, 4).cells if c.cell_type == "markdown" and not c.metadata.get("tags")]
    assert not [c.source for c in shown if re.match("### ", c.source)]


def test_the_row_survives_reading(tmp_path):
    front = "# 065: New?\n\n| | |\n|---|---|\n| tricks | [A b](../tricks.ipynb#A-b), 158 |\n| sources | |\n\n## Hypothesis\n\nYes."
    nbformat.write(new_notebook(cells=[new_markdown_cell(front)]), tmp_path / "065_new.ipynb")
    read = describe(tmp_path / "065_new.ipynb")
    assert (read.tricks, read.sources, read.hypothesis) == (("A b", "158"), "", "Yes.")
