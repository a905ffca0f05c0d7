"""What a check and a student's kernel share of torch: modules, their numbers, and gradients.

A student's module is mirrored beside the check: the same tree, library layers as what they are,
parameters and buffers that are kept the same at both ends. To call it is to call the student's;
gradients go back the same way. So losses, optimizers and labels stay beside the check.
"""

import contextlib
import itertools
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

if TYPE_CHECKING:
    from lab_grade.bridge import Peer

OF_MODULES = set(vars(nn.Module()))  # attributes that each module has
LIBRARY = "torch.nn.modules."
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class OperatorNames(TorchDispatchMode):
    """Writes down the names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names: dict[str, None] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names[str(func)] = None
        return func(*args, **(kwargs or {}))


class Operator(str):
    """Stands for an operator that ran at the other end: its name."""

    __slots__ = ()

    def __call__(self, *_, **__):
        return None


class Token:
    """Names a graph at the other end, for as long as the graph here needs it."""

    def __init__(self, tensors: "Tensors", number: int):
        self.tensors, self.number = tensors, number

    def __del__(self):
        self.tensors.dropped.append(self.number)


class Linked(torch.autograd.Function):
    """A call at the other end, as one node of the graph at this one."""

    @staticmethod
    def forward(ctx, tensors, request, found, numbers, *inputs):
        with torch.enable_grad():  # there, as here before this function
            (token, *told), outputs = tensors.peer.ask("run", *request, True)
        found += told
        ctx.token, ctx.numbers = Token(tensors, token), numbers
        ctx.count = len(inputs) - len(numbers)
        ctx.set_materialize_grads(False)
        return tuple(outputs) or torch.zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        tensors, number = ctx.token.tensors, ctx.token.number
        (on_inputs, on_shared), _ = tensors.peer.ask("backward", number, list(grads))
        found = [*on_inputs, *(None for _ in range(ctx.count - len(on_inputs)))]
        return None, None, None, None, *found, *(on_shared.get(n) for n in ctx.numbers)


def find_needing(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in arguments that need a gradient, in the order of a message."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, list | tuple | set | frozenset | deque):
        for item in value:
            yield from find_needing(item)
    elif isinstance(value, dict):
        for pair in value.items():
            yield from find_needing(pair)


class Mirror:
    """A student's module beside the check: calls go to the student's own."""

    _lab_peer: "Peer"

    def forward(self, *args, **kwargs):
        return self._lab_peer.run(self, *args, **kwargs)

    def train(self, mode=True):
        self._lab_peer.run("getattr", self, "train")(mode)
        return self

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            if name.startswith("_"):
                raise
        return self._lab_peer.run("getattr", self, name)

    def __deepcopy__(self, memo):
        return self._lab_peer.run("deepcopy", self)


class Tensors:
    """The modules and tensors that both ends have, by numbers that the kernel gives."""

    is_recording = staticmethod(torch.is_grad_enabled)
    module_class = nn.Module

    def __init__(self, peer: "Peer"):
        self.peer = peer
        self.shared: dict[int, torch.Tensor] = {}
        self.known: dict[int, tuple[torch.Tensor, bool]] = {}
        self.numbers: dict[int, int] = {}
        self.modules: dict[int, nn.Module] = {}
        self.modes: dict[int, bool] = {}
        self.graphs: dict[int, tuple[list, list]] = {}  # inputs and outputs of calls, by tokens
        self.dropped: list[int] = []
        self.tokens = itertools.count(1)
        self.watch: OperatorNames | None = None
        self.unmade: dict[int, nn.Module] = {}  # have layers that learn their sizes when called

    # Calls

    def run_linked(self, function: Any, args: tuple, kwargs: dict) -> list:
        """Return the result of a call, as part of the graph, and what it made of arguments."""
        needing = [t for t in find_needing([args, kwargs]) if id(t) not in self.numbers]
        shared = {number: t for number, t in self.shared.items() if t.requires_grad}
        inputs = [*needing, torch.zeros(0, requires_grad=True), *shared.values()]
        found: list = []
        Linked.apply(self, (function, list(args), kwargs), found, list(shared), *inputs)
        return found

    def go_back(self, token: int, grads: list) -> tuple[list, dict]:
        """Return the gradients of a call's inputs and of what is shared."""
        inputs, outputs = self.graphs[token]
        leaves = {n: t for n, t in self.shared.items() if t.requires_grad and t.is_leaf}
        kept = [leaf.grad for leaf in leaves.values()]
        for leaf in [*inputs, *leaves.values()]:
            leaf.grad = None
        reached = [i for i, grad in enumerate(grads) if grad is not None]
        ends, sent = [outputs[i] for i in reached], [grads[i] for i in reached]
        if ends:
            torch.autograd.backward(ends, sent, retain_graph=True)
        found = [leaf.grad for leaf in inputs]
        on_shared = {number: leaf.grad for number, leaf in leaves.items() if leaf.grad is not None}
        for leaf, grad in zip(leaves.values(), kept, strict=True):
            leaf.grad = grad
        return found, on_shared

    def detach(self, changed: dict) -> dict:
        """Return arguments as what is compared of them: numbers without their part in a graph."""
        detached = dict(changed)
        for key, value in changed.items():
            if isinstance(value, torch.Tensor):
                detached[key] = value.detach()
            elif isinstance(value, nn.Module):
                detached[key] = self.detach(value.state_dict())
        return detached

    def is_copy(self, value: Any) -> bool:
        """Tell whether a tensor or a module is a copy of one at the other end."""
        if isinstance(value, nn.Module):
            return id(value) not in self.peer.numbers
        return isinstance(value, torch.Tensor) and id(value) not in self.numbers

    @contextlib.contextmanager
    def surround(self, grad: bool) -> Iterator[None]:
        """Run a call with gradients or without, as where it was asked for, and watched."""
        with torch.set_grad_enabled(grad), self.watch or contextlib.nullcontext():
            yield

    # What is the same at both ends

    def share(self, number: int, tensor: torch.Tensor) -> None:
        self.shared[number], self.numbers[id(tensor)] = tensor, number
        self.known[number] = tensor.detach().clone(), tensor.requires_grad

    def find_changes(self) -> dict:
        """Return what has changed since both ends were last the same."""
        changed, modes = {}, {}
        for number, tensor in self.shared.items():
            known, needs = self.known[number]
            is_same = tensor.requires_grad == needs and tensor.dtype == known.dtype
            if not (is_same and tensor.equal(known)):
                now = tensor.detach().clone()
                self.known[number] = changed[number] = now, tensor.requires_grad
        for number, module in self.modules.items():
            if module.training != self.modes[number]:
                modes[number] = self.modes[number] = module.training
        state: dict[str, Any] = {"tensors": changed, "modes": modes, "dropped": self.dropped}
        state |= {"grad": torch.is_grad_enabled(), "made": []}
        self.dropped = []
        for number, module in list(self.unmade.items()):
            if not any(map(is_unmade, module.parameters())):
                del self.unmade[number]
                state["made"].append(self.describe(module))
        if self.watch:
            state["operators"] = list(self.watch.names)
        elif _get_current_dispatch_mode_stack():
            state["is_watched"] = True
        return state

    def apply(self, state: dict) -> None:
        """Bring this end to what has changed at the other one."""
        for number, (new, needs) in state["tensors"].items():
            tensor = self.shared[number]
            if tensor.shape == new.shape and tensor.dtype == new.dtype:
                tensor.data.copy_(new)
            else:
                tensor.data = new.clone()
            tensor.requires_grad_(bool(needs))
            self.known[number] = new, bool(needs)
        for number, mode in state["modes"].items():
            self.modes[number] = self.modules[number].training = bool(mode)
        for description in state["made"]:
            self.build(description)
        for token in state["dropped"]:
            self.graphs.pop(token, None)
        self.watch = OperatorNames() if state.get("is_watched") else None
        watching: list = list(_get_current_dispatch_mode_stack())
        for name in state.get("operators", []):
            for mode in watching:
                mode.__torch_dispatch__(Operator(str(name)), ())

    # Modules

    def describe(self, root: nn.Module) -> list:
        """Return a tree of modules in plain values, and share what is in it."""
        tensors: dict[int, tuple] = {}
        if any(map(is_unmade, root.parameters())):
            self.unmade[self.peer.number(root)] = root

        def number_all(named: dict) -> dict:
            numbers: dict[str, int | None] = {}
            for name, tensor in named.items():
                if tensor is None or is_unmade(tensor):
                    numbers[name] = None
                    continue
                if id(tensor) not in self.numbers:
                    self.share(len(self.shared), tensor)
                place = numbers[name] = self.numbers[id(tensor)]
                is_parameter = isinstance(tensor, nn.Parameter)
                tensors[place] = tensor.detach(), is_parameter, tensor.requires_grad
            return numbers

        modules = list(root.modules())
        places = {id(module): place for place, module in enumerate(modules)}
        tree = []
        for module in modules:
            own = self.peer.number(module)
            self.modules[own], self.modes[own] = module, module.training
            base = next(kind for kind in type(module).__mro__ if is_library(kind))
            held = {k: v for k, v in vars(module).items() if k not in OF_MODULES}
            plain = {k: v for k, v in held.items() if is_plain(v)}
            hooked = any(vars(module).get(name) for name in HOOKS)
            is_own = type(module) is not base or len(plain) < len(held) or hooked
            names = base.__module__, base.__qualname__, type(module).__name__
            children = {k: places[id(m)] for k, m in module._modules.items() if m is not None}
            parts = number_all(module._parameters), number_all(module._buffers), children
            tree.append([own, names, module.training, is_own, {} if is_own else plain, *parts])
        return [tree, tensors]

    def build(self, description: list) -> None:
        """Mirror a tree of modules: each stands in for its own."""
        tree, tensors = description
        for number, (value, is_parameter, needs) in tensors.items():
            if number not in self.shared:
                tensor = nn.Parameter(value, bool(needs)) if is_parameter else value
                self.share(number, tensor)
        modules = []
        for number, (origin, name, own_name), training, is_own, attributes, *_ in tree:
            base = getattr(sys.modules[origin], name)
            if not is_library(base):
                raise ValueError(f"{origin}.{name} is no layer of torch")
            kind: Any = type(str(own_name), (Mirror, base), {}) if is_own else base
            module = self.modules.get(number)
            if module is None:
                module = kind.__new__(kind)
                nn.Module.__init__(module)
            vars(module).update({k: v for k, v in attributes.items() if is_plain(v)})
            vars(module).update(_lab_number=number, _lab_peer=self.peer)
            module.__class__, module.training = kind, bool(training)
            self.modules[number] = self.peer.stand_ins[number] = module
            self.modes[number] = module.training
            modules.append(module)
        for module, (*_, parameters, buffers, children) in zip(modules, tree, strict=True):
            for held, named in ((module._parameters, parameters), (module._buffers, buffers)):
                held.update({k: None if n is None else self.shared[n] for k, n in named.items()})
            module._modules.update({k: modules[place] for k, place in children.items()})


def is_unmade(tensor: torch.Tensor) -> bool:
    """Tell whether a lazy layer has not been called yet."""
    return isinstance(tensor, UninitializedTensorMixin)


def is_library(kind: type) -> bool:
    """Tell whether a class is one of torch's own modules."""
    module = sys.modules.get(getattr(kind, "__module__", ""))
    if getattr(module, kind.__name__, None) is not kind or not issubclass(kind, nn.Module):
        return False
    return kind.__module__.startswith(LIBRARY)


def is_plain(value: Any) -> bool:
    """Tell whether an attribute of a layer is a number, a text or several of them."""
    if isinstance(value, tuple | list):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)
