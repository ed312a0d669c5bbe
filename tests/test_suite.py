"""The suite from outside: a mixer of the reader's own, from another folder, trained, ranked, and put on the leaderboard beside others."""

import shutil
import subprocess
from pathlib import Path

import pytest
from workbooks import command, environment, madlib, records

NBS = Path(__file__).parent.parent / "nbs"
MINE = '''"""The mean of all values so far."""
import torch
from madlib.mixers.base import Mixer

class Mean(Mixer):
    "What every token has in common with those before it."
    def attend(self, q, k, v, x, memory, seg, state):
        return v.cumsum(1) / torch.arange(1, v.shape[1] + 1)[:, None, None], ()
    def memory_size(self, T=None): return self.n_heads * self.value_dim + 1
'''


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    "A workbook with the real suite and leaderboard, and a folder inside it with a package of the reader's own."
    root = tmp_path_factory.mktemp("suite") / "book"
    (root / "nbs/experiments").mkdir(parents=True)
    (root / "mine/lab").mkdir(parents=True)
    (root / "settings.ini").write_text((NBS.parent / "settings.ini").read_text())
    shutil.copy(NBS / "experiments/suite.ipynb", root / "nbs/experiments")
    shutil.copy(NBS / "leaderboard.ipynb", root / "nbs")
    (root / "mine/lab/__init__.py").write_text("")
    (root / "mine/lab/mean.py").write_text(MINE)
    return root


def in_mine(book, *words): return subprocess.run(command(*words), cwd=book / "mine", env=environment(), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def own(book): return in_mine(book, "suite", "lab.mean:Mean", "linear+softmax", "--preset", "smoke", "-p", "tasks=MQAR, compression")


def test_a_mixer_from_another_folder_goes_through(book, own):
    assert own.returncode == 0, own.stdout + own.stderr
    record, = records(book)
    result = record["result"]
    assert {r["variant"] for r in result["summary"]} == {"Mean", "linear+softmax"} and result["suite"]["groups"] == ["MQAR", "compression"]
    assert len(result["trials"]) == 2 * 2 * 2 and result["cost"]["dollars"] > 0 and record["parameters"]["mixers"] == "lab.mean:Mean, linear+softmax"
    assert "on average over 2 tasks" in own.stdout and (book / "mine" / own.stdout.strip().splitlines()[-1]).exists()
    page = next(book.glob("site/runs/suite/*.html")).read_text()
    assert 'class="sortable"' in page and "Measured" in page and "at most" in page


def test_what_was_trained_is_not_trained_again(book, own):
    again = in_mine(book, "suite", "lab.mean:Mean", "--preset", "smoke", "-p", "tasks=MQAR, compression")
    assert again.returncode == 0, again.stderr
    last = max(records(book), key=lambda r: r["started"])["result"]
    assert last["cost"]["reused"] == last["cost"]["trials"] == 4 and last["cost"]["dollars"] == 0


def test_the_leaderboard_holds_records_together(book, own):
    assert madlib(book, "suite", "gla", "--preset", "smoke", "-p", "tasks=MQAR, compression", timeout=300).returncode == 0
    other = madlib(book, "suite", "gla", "--preset", "smoke", "-p", "tasks=MQAR", timeout=300)
    assert other.returncode == 0
    done = madlib(book, "leaderboard", "-p", "preset=smoke")
    assert done.returncode == 0 and done.stdout.strip() == "site/leaderboard.html", done.stderr
    boards = (book / "site/leaderboard.html").read_text().split('class="sortable"')[1:]
    assert len(boards) == 2  # two tasks, and one: other settings, another board
    assert all(name in boards[0] for name in ("Mean", "linear+softmax", "gla")) and "Mean" not in boards[1].split("</table>")[0]
    assert "No record of the suite yet" not in "".join(boards)
    assert madlib(book, "leaderboard").returncode == 0  # of `quick`, of which there is none
    assert "No record of the suite yet" in (book / "site/leaderboard.html").read_text()


@pytest.mark.parametrize("words, says", [
    (["gal"], "Did you mean 'gla'?"),
    (["nowhere.mixer:Mine"], "there is no module 'nowhere' to import"),
    (["gla", "-p", "tasks=MQRA"], "Did you mean 'MQAR'?"),
    (["gla", "-p", "tasks=MQAR", "-p", "max_hours=1e-9"], "the bound is max_hours = 1e-09"),
])
def test_mistakes_say_what_to_do(book, words, says):
    done = madlib(book, "suite", *words, "--preset", "smoke")
    assert done.returncode == 1 and says in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_every_preset_can_be_built():
    from madlib.run.experiments import presets_of, read_notebook
    from madlib.train.suite import settings_of

    presets = presets_of(read_notebook(NBS / "experiments/suite.ipynb"))
    counted = {name: len(settings_of(p["suite"], p["train"], p["model"])) for name, p in presets.items()}
    assert counted == {"smoke": 7, "quick": 7, "mad": 66, "zoology": 4}


def test_without_mixers_it_lists_its_runs(book, own):
    listed = madlib(book, "suite")
    assert listed.returncode == 0 and "smoke quick mad zoology" in listed.stdout
    assert f"  {len(records(book))} " in listed.stdout  # how many there are
