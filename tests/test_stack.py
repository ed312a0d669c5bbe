"""Every registered mixer comes out of a stack as it would have alone."""

from dataclasses import replace

import pytest
import torch

from madlib.mixers.registry import MIXERS
from madlib.tasks.mqar import MQAR
from madlib.train.loop import Model, Run, Train, Trial, Variant
from madlib.train.stack import Stack

TASK, MODEL = MQAR(vocab_size=16, seq_len=12, n_pairs=2, layout="compact"), Model(d_model=16, ffn_width=16, dropout=0.1, n_layers=2)
TRAIN = Train(steps=4, eval_every=2, batch_size=8, n_valid=20, n_test=20, precision="float64")


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_a_mixer_in_a_stack_is_as_it_is_alone(name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trials = [Trial(Variant(name, name), lr, seed, TASK, MODEL, TRAIN) for seed, lr in ((0, 1e-2), (1, 3e-3))]
    alone, stack = [Run(t) for t in trials], Stack([Run(t) for t in trials])
    together = stack.runs
    for run in alone:
        while run.advance(): pass
    while stack.runs: stack.advance()
    torch.set_num_threads(threads)
    for a, b in zip(alone, together, strict=True):
        for x, y in zip(a.history, b.history, strict=True):
            assert x["step"] == y["step"] and x["valid_accuracy"] == y["valid_accuracy"]
            assert abs(x["train_loss"] - y["train_loss"]) < 1e-9 and abs(x["valid_loss"] - y["valid_loss"]) < 1e-9
        far = {n: (w - b.model.state_dict()[n]).abs().max().item() for n, w in a.model.state_dict().items() if w.dtype.is_floating_point}
        assert max(far.values()) < 1e-5, far  # Adam moves what has no gradient but rounding


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_a_mixer_trains_in_bfloat16(name):
    "As on a GPU: the first update's loss is near the one in 32 bits, alone and in a stack."
    losses = {}
    for precision in ("float32", "bfloat16"):
        trials = [Trial(Variant(name, name), 1e-3, seed, TASK, MODEL, replace(TRAIN, precision=precision)) for seed in (0, 1)]
        alone, stack = [Run(t) for t in trials], Stack([Run(t) for t in trials])
        stack.model.train()
        stack.update()
        losses[precision] = torch.tensor([r.update() for r in alone]), stack.losses
    for exact, short in zip(*losses.values(), strict=True): assert (exact - short).abs().max() < (0.2 if name == "pd_ssm" else 0.02)  # PD-SSM takes the largest entry, and another one may be it
