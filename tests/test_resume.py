"""Training that is killed at any moment goes on where it was, ends with the scores of an undisturbed one, and leaves no process behind."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest
import torch
from workbooks import madlib, records, start, wait_for, write_experiment

from madlib.run.records import load_runs, status_of
from madlib.tasks.mqar import MQAR
from madlib.train.compare import compare
from madlib.train.loop import Model, Run, Train, Trial, Variant, run_trial

TRAINS = """from madlib.tasks.mqar import MQAR
from madlib.train.compare import compare, conclude
from madlib.train.criteria import Criterion
from madlib.train.loop import Model, Train, Variant

arms = [Variant("softmax", "softmax"), Variant("relu", "linear", {"feature_map": "relu"})]
task = MQAR(vocab_size=16, seq_len=16, n_pairs=2)
train = Train(steps=steps, batch_size=32, seeds=2, n_valid=100, n_test=200, eval_every=10, stop_at=None)
result = compare(arms, task, train, Model(d_model=16), workers=2)
conclude(result, [Criterion("above chance", "softmax", value=0.1)], "007")"""
IN_TURN = TRAINS.replace("workers=2", "workers=1")  # the same trials without processes of their own
RUN = ("run", "007", "-p", "steps=200")
LONG = 600  # seconds that a heavily loaded machine may take; nothing waits longer than it must


def write_book(root: Path, source: str) -> Path:
    (root / "nbs").mkdir(parents=True)
    (root / "settings.ini").write_text("[madlib]\nexperiments = nbs\n")
    write_experiment(root, "007_trains", source)
    return root


def processes(root: Path) -> list[str]:
    "What still works in a folder."
    def inside(p):
        try: return p.pid != psutil.Process().pid and Path(p.cwd()).is_relative_to(root)
        except psutil.Error: return False
    return [str(p) for p in psutil.process_iter() if inside(p)]


def trials(root: Path, name: str) -> list[Path]: return sorted((root / "runs/.trials").glob(f"*/{name}"))


def untimed(result: dict) -> dict: return {k: v for k, v in result.items() if k not in ("seconds", "reused", "key", "cost")}


def results(root: Path) -> dict[str, dict]:
    "What every trial found, to the last bit, by the name of its folder."
    return {p.parent.name: untimed(json.loads(p.read_text())["result"]) for p in trials(root, "trial.json")}


def scores(record: dict) -> list[dict]: return [untimed(row) for key in ("trials", "summary") for row in record["result"][key]]


def kill_when(run: subprocess.Popen, root: Path, what) -> None:
    "SIGKILL the command, and nothing else, as soon as `what` is true; all its processes follow by themselves."
    wait_for(lambda: what() or run.poll() is not None, LONG)
    assert run.poll() is None, (root / "out").read_text()
    assert len(processes(root)) >= 4, "the command, its kernel and two workers"
    run.kill()
    run.wait(10)
    wait_for(lambda: not processes(root), 30, f"left behind: {processes(root)}")


@pytest.fixture
def launch():
    "Starts the experiment in a workbook; what still runs when a test has failed is ended."
    runs = []
    yield lambda root: runs.append(start(root, *RUN)) or runs[-1]
    for run in runs: run.kill()


def test_killed_twice_and_the_same_scores(tmp_path, launch):
    calm, killed = write_book(tmp_path / "calm", IN_TURN), write_book(tmp_path / "killed", TRAINS)
    undisturbed = launch(calm)
    kill_when(launch(killed), killed, lambda: trials(killed, "progress.json"))
    assert results(killed) == {}, "killed before any trial was finished"
    kill_when(launch(killed), killed, lambda: trials(killed, "trial.json"))
    finished = len(results(killed))
    assert 1 <= finished < 4
    assert undisturbed.wait(LONG) == 0 and len(results(calm)) == 4, (calm / "out").read_text()
    wait_for(lambda: not processes(calm), 30, f"left behind: {processes(calm)}")

    done = madlib(killed, *RUN, timeout=LONG)
    assert done.returncode == 0, done.stdout + done.stderr
    (first,), (*dead, last) = records(calm), records(killed)
    assert results(killed) == results(calm) and scores(last) == scores(first)
    assert all(last["result"][key] == first["result"][key] for key in ("criteria", "verdict", "chance"))
    assert last["cost"]["reused"] == finished and last["cost"]["trials"] == 4 and first["cost"]["reused"] == 0
    assert [status_of(run) for run in load_runs(killed / "runs")] == ["died", "died", "done"]
    assert [r["status"] for r in dead] == ["running"] * 2 and madlib(killed, "status").stdout.count("died") == 2
    assert not trials(killed, "progress.json") and processes(killed) == []


TASK, MODEL = MQAR(vocab_size=16, seq_len=16, n_pairs=2), Model(d_model=16, dropout=0.1)
SHORT = Train(steps=400, batch_size=32, seeds=1, n_train=256, n_valid=100, n_test=200, eval_every=10, stop_at=None, schedule="cosine")
RELU = Variant("relu", "linear", {"feature_map": "relu"})
ALONE = """import sys
import torch
import test_resume
torch.set_num_threads(1)
test_resume.run_trial(test_resume.TRIAL, sys.argv[1], checkpoint_every=0)"""
TRIAL = Trial(RELU, 1e-3, 0, TASK, MODEL, SHORT)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def reached(home: Path) -> int:
    "The step of a trial's last checkpoint."
    path = home / "checkpoint.pt"
    return torch.load(path, weights_only=True)["step"] if path.exists() else 0


def test_killed_inside_a_trial_goes_on_from_its_checkpoint(tmp_path, one_thread):
    calm, home = run_trial(TRIAL, tmp_path / "calm"), tmp_path / "killed" / TRIAL.key
    for _ in range(2):
        before = reached(home)
        trial = subprocess.Popen([sys.executable, "-c", ALONE, str(home.parent)], cwd=Path(__file__).parent)
        wait_for(lambda before=before, trial=trial: reached(home) > before + 30 or trial.poll() is not None, LONG)
        trial.kill()
        assert trial.wait(10) < 0, "it ended before it could be killed"
    last = reached(home)
    assert 60 < last < SHORT.steps and not (home / "trial.json").exists()

    looks, advance = [], Run.advance
    with patch.object(Run, "advance", lambda run: (looks.append(run.step), advance(run))[1]):
        resumed = run_trial(TRIAL, tmp_path / "killed")
    assert looks == list(range(last, SHORT.steps, SHORT.eval_every))
    assert untimed(resumed) == untimed(calm) and not resumed["reused"]
    assert sorted(p.name for p in home.iterdir() if not p.name.startswith(".")) == ["lock", "trial.json"]


def test_a_full_disk_names_the_trial_and_loses_nothing(tmp_path):
    arms = [Variant("softmax", "softmax"), RELU]
    train = Train(steps=40, batch_size=32, seeds=1, n_valid=100, n_test=200, eval_every=10)
    def run(folder): return compare(arms, TASK, train, MODEL, folder=tmp_path / folder, workers=1)
    real, written = os.fsync, []
    def full(fd):
        written.append(fd)
        if len(written) > 1: raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)
    with patch("madlib.core.basics.os.fsync", full), pytest.raises(RuntimeError) as said: run("full")
    assert all(word in str(said.value) for word in ("'relu'", "0.001", "seed 0", "could not write trial.json", "No space left on device"))
    assert sorted(p.name for p in (tmp_path / "full").glob("*/*")) == ["lock", "lock", "progress.json", "trial.json"]

    again, calm = run("full"), run("calm")
    assert again.trials["reused"].tolist() == [True, False]
    assert [untimed(r) for r in again.trials.to_dict("records")] == [untimed(r) for r in calm.trials.to_dict("records")]
    assert again.curves.equals(calm.curves)
