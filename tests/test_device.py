"""What is trained on a GPU can be recorded there: no update of a stack waits for the host, and all it needs lies on the device."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pretended
import pytest
import torch

from madlib.mixers.registry import MIXERS, mixer_options
from madlib.tasks.mqar import MQAR
from madlib.tasks.task import TASKS, make_task
from madlib.train.loop import Model, Variant

TASK = MQAR(vocab_size=16, seq_len=20, n_pairs=2, layout="noise")
MODEL = Model(d_model=16, ffn_width=16, dropout=0.1, n_layers=1)
TORCHS_OWN = {"gru": "torch's kernel for it has no form without values"}
WAYS = {
    "a convolution, a norm and a gate": Variant("gla", "gla", {"conv": 4, "norm": "rms", "gate": "silu", "chunk": 8}),
    "eight bits": Variant("kda", "kda", {"precision": "e4m3 tiles: scores, read; bf16: update", "chunk": 8}),
    "levels in one chunk": Variant("log_linear", "log_linear"),
    "a memory in one chunk": Variant("kda", "kda"),
    "the other count of levels": Variant("log_linear", "log_linear", {"indexing": "bit", "chunk": 4}),
}

ASKS = {  # what a mixer does, and what is said of it
    "its numbers": (lambda x: x * x.detach().abs().amax().item(), ".item()"),
    "the host's numbers": (lambda x: x * torch.tensor([2.0]).to(x), "from the 'gpu' backend"),
    "a table of the host's": (lambda x: x + torch.arange(x.shape[-1]), "at least two devices"),
    "one number of the host's": (lambda x: torch.where(torch.ones(()) > 0, x, 0), "where reads a tensor that lies at the host"),
    "nothing": (lambda x: 2 * x, ""),
}


class Asks(torch.nn.Module):
    "A mixer that asks the host for something."
    def __init__(self, d_model, what):
        super().__init__()
        self.what = what

    def forward(self, x, S=None, seg=None, return_state=False): return ASKS[self.what][0](x)


@pytest.fixture(scope="module")
def complaints():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), pretended.set_up) as pool:
        yield lambda *what: pool.submit(pretended.complaints, *what).result()


@pytest.mark.parametrize("name", sorted(MIXERS.keys() - TORCHS_OWN))
def test_every_mixer(complaints, name):
    options = {"chunk": 8} if "chunk" in mixer_options(name) else {}
    assert not complaints(Variant(name, name, options), TASK, MODEL)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task(complaints, name):
    assert not complaints(Variant("linear", "linear"), make_task(name), MODEL)


@pytest.mark.parametrize("way", WAYS)
def test_every_way(complaints, way):
    assert not complaints(WAYS[way], TASK, MODEL)


@pytest.mark.parametrize("what", ASKS)
def test_who_asks_the_host_is_seen(complaints, what):
    found = " ".join(complaints(Variant("asks", Asks, {"what": what}), TASK, MODEL))
    assert ASKS[what][1] in found and bool(found) == (what != "nothing")
