"""An accelerator that computes nothing: what an update asks of it, and where it would make the device wait for the host."""

import traceback
import warnings

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from madlib.train.loop import Run, Train, Trial
from madlib.train.stack import Stack

NOTHING_COMPUTED, DEVICE = FakeTensorMode(), "gpu"
TRAIN = Train(steps=4, eval_every=4, batch_size=8, n_valid=20, n_test=20, precision="float32")
SCALARS = ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "clamp", "eq", "ne", "lt", "le", "gt", "ge", "rsub", "floor_divide", "remainder")  # take a number of the host's with the call


def set_up():
    "Give this process the device; not to be taken back, so it is a process of its own."
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
    _setup_privateuseone_for_python_backend(DEVICE)
    getattr(torch, DEVICE).get_amp_supported_dtype = lambda: [torch.bfloat16]  # autocast can be told to keep off
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)


def place(frames):
    "The innermost line of madlib among these."
    ours = [f"{f.filename.rpartition('/madlib/')[2]}:{f.lineno} {f.line}" for f in frames if "/madlib/" in f.filename]
    return ours[-1] if ours else "no line of madlib"


class Witness(TorchDispatchMode):
    "Notes every operation that needs the host's memory."
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name, given = op._schema.name.removeprefix("aten::"), [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        out = op(*args, **(kwargs or {}))
        at_host = [x for x in given if x.device.type == "cpu"]
        if name.startswith("lift"): self.note(name, "makes a tensor of numbers in Python")
        elif at_host and name in ("_to_copy", "copy_"): self.note(name, "copies from the host")
        elif at_host and not (name.rstrip("_") in SCALARS and all(x.dim() == 0 for x in at_host)): self.note(name, "reads a tensor that lies at the host")
        elif not given and isinstance(out, torch.Tensor) and out.device.type == "cpu": self.note(name, "makes a tensor at the host: no `device=`")
        return out

    def note(self, name, what): self.seen.add(f"{name} {what}: {place(traceback.extract_stack())}")


def moved(x):
    "A tensor of the same shape on the device."
    if x is None: return None
    with NOTHING_COMPUTED: y = torch.empty(x.shape, dtype=x.dtype, device=DEVICE)
    return torch.nn.Parameter(y, x.requires_grad) if isinstance(x, torch.nn.Parameter) else y


def complaints(variant, task, model):
    "What keeps an update of a stack of two from being recorded on a device; nothing, as it should be."
    stack, told = Stack([Run(Trial(variant, lr, seed, task, model, TRAIN)) for seed, lr in ((0, 1e-2), (1, 3e-3))]), []
    stack.model.train()
    stack.graph = lambda *xs: told.extend(xs)
    stack.update()
    for module in stack.model.modules():
        for held in (module._parameters, module._buffers): held.update({n: moved(x) for n, x in held.items()})
    for n in ("W", "m", "v", "steps", "going", "losses", "decay", "decays"): setattr(stack, n, moved(getattr(stack, n)))
    stack.buffers, told = {n: moved(b) for n, b in stack.buffers.items()}, [moved(x) for x in told]
    try:
        with NOTHING_COMPUTED:
            stack.change(*told)  # tables are made once and kept
            with Witness() as witness: stack.change(*told)
    except Exception as e:
        return [f"{type(e).__name__}: {str(e).splitlines()[0]} {place(traceback.extract_tb(e.__traceback__))}"]
    return sorted(witness.seen)
