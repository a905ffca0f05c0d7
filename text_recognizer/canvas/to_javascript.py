"""Describes a network as a list of simple steps, for `network.js` to run in a browser."""

import copy
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx

from text_recognizer.errors import LabError

KNOWN = "convolution, BatchNorm, ReLU, max-pooling, linear, add, mean, flatten and dropout"
# What torch calls them: the same numbers in the same order, or nothing at all.
RESHAPES = ("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "flatten", "unflatten")
NOTHING = ("detach", "alias", "clone", "_to_copy", "contiguous", "lift_fresh_copy")
MAX_WEIGHT = torch.finfo(torch.float16).max


def describe_network(
    network: nn.Module, *examples: torch.Tensor, method: str = "forward"
) -> tuple[list[dict], bytes]:
    """Return the steps that a network computes, and all of their weights, float16, little-endian.

    `torch.fx` traces a method with each of the examples, float32 (1, C, H, W); where their sizes
    differ, the steps hold for all sizes. A step has `do`, what it does; `of`, the numbers of the
    results it uses (0 is the input, 1 the first step's result, ...); sizes; and where its `weights`
    and `bias` are: [first, count]. BatchNorm becomes part of the layer before it.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    network.forward = getattr(network, method)
    with torch.no_grad():
        try:
            traces = [_Trace(make_fx(network)(example)) for example in examples]
        except RuntimeError as error:
            if "data-dependent" not in str(error):
                raise
            raise LabError(
                "recognizer's network decides by its input what to compute, which a page cannot: "
                "let it compute the same for all images."
            ) from None
    first = traces[0]
    for step, *others in zip(*(trace.steps for trace in traces), strict=True):
        for other in others:
            if step["do"] == "reshape":
                same = zip(step["shape"], other["shape"], strict=True)
                step["shape"] = [a if a == b else -1 for a, b in same]
    return first.steps, first.pack_weights()


class _Trace(Interpreter):
    """The steps of a traced network, in which torch's operations have the names of ATen.

    Values are the numbers of results, or constant tensors.
    """

    def __init__(self, traced: GraphModule):
        traced.graph.eliminate_dead_code()
        super().__init__(traced)
        self.extra_traceback = False  # a LabError says it all
        self.steps: list[dict] = []
        if self.run(0) != len(self.steps):
            raise LabError("recognizer's network must return one tensor, which it computes.")

    def run_node(self, n: Any):
        """Add the step of a node; return its result's number, or a constant."""
        if n.op != "call_function" or not any(type(self.env[m]) is int for m in n.all_input_nodes):
            return super().run_node(n)  # of weights alone
        packet = getattr(n.target, "overloadpacket", n.target)
        name = packet.__name__.rstrip("_")  # relu_ is relu in place
        arguments = list(self.fetch_args_kwargs_from_env(n)[0])
        if name.startswith("_native_batch_norm_legit"):  # as PyTorch had it for some time
            arguments[3:3] = [None, None] if len(arguments) < 7 else []
            arguments[5:5] = [False] if name.endswith("no_training") else []
            name = "native_batch_norm"
        if name == "getitem" or name in NOTHING:
            return arguments[0]
        if name in RESHAPES:
            return self.add("reshape", arguments[:1], shape=_find_shape(n))
        if describe := getattr(self, f"describe_{name}", None):
            return describe(n, *arguments)
        raise _unknown(name)

    def add(self, do: str, of: list, **more) -> int:
        if not all(type(number) is int for number in of):
            raise _unknown(f"{do} of constants")
        self.steps.append({"do": do, "of": of, **more})
        return len(self.steps)

    # Named as in ATen, with its arguments.

    def describe_convolution(
        self, _node, x, weights, bias, stride, padding, dilation, transposed, _output, groups
    ):
        if transposed:
            raise _unknown("transposed convolution")
        sizes = {"stride": stride, "padding": padding, "dilation": dilation}
        window = _expand(weights.dim() - 2, kernel=weights.shape[2:], **sizes)
        layer = {"groups": groups, "channels": len(weights), "weights": weights, "bias": bias}
        return self.add("convolution", [x], **window, **layer)

    def describe_addmm(self, node, bias, x, weights):
        return self.describe_linear(node, x, weights.T, bias)

    def describe_mm(self, node, x, weights):
        return self.describe_linear(node, x, weights.T)

    def describe_linear(self, node, x, weights, bias=None):
        if len(_find_shape(node)) != 2:
            raise _unknown("linear of more than one vector")
        return self.add("linear", [x], features=len(weights), weights=weights, bias=bias)

    def describe_native_batch_norm(self, node, x, weight, bias, mean, variance, training, _, eps):
        if training or mean is None:
            raise _unknown("batch_norm without running statistics")
        scale = (variance + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        step = self.steps[x - 1] if x else {}
        is_alone = len(node.args[0].users) == 1 and x == len(self.steps)
        if is_alone and step.get("do") in ("convolution", "linear"):
            weights, old = step["weights"], step["bias"]
            step["weights"] = weights * scale.reshape(-1, *[1] * (weights.dim() - 1))
            step["bias"] = shift if old is None else shift + old * scale
            return x
        return self.add("scale", [x], weights=scale, bias=shift)

    def describe_relu(self, _node, x):
        return self.add("relu", [x])

    def describe_add(self, node, x, y, alpha=1):
        shapes = [_find_shape(n) for n in node.args if isinstance(n, Node)]
        if len(shapes) != 2 or shapes[0] != shapes[1] or node.kwargs.get("alpha", alpha) != 1:
            raise _unknown("add of other than two tensors of one shape")
        return self.add("add", [x, y])

    def describe_mean(self, node, x, axes, keep=False, **_):
        dims = len(_find_shape(node.args[0]))
        return self.add("mean", [x], axes=[axis % dims for axis in axes], keep=keep)

    def describe_max_pool2d_with_indices(
        self, _node, x, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False
    ):
        if ceil_mode:
            raise _unknown("max_pool2d with ceil_mode")
        sizes = {"stride": stride or kernel, "padding": padding, "dilation": dilation}
        return self.add("max_pool", [x], **_expand(2, kernel=kernel, **sizes))

    def describe_transpose(self, node, x, first, second):
        axes = list(range(len(_find_shape(node))))
        axes[first], axes[second] = axes[second], axes[first]
        return self.add("permute", [x], axes=axes)

    def pack_weights(self) -> bytes:
        """Return all weights; the steps keep their places."""
        packed = b""
        for step in self.steps:
            for name in ("weights", "bias"):
                if step.get(name) is None:
                    continue
                flat = step[name].detach().reshape(-1)
                if not flat.abs().max() <= MAX_WEIGHT:
                    raise LabError(
                        "recognizer's network has weights that are not finite or larger than "
                        f"{MAX_WEIGHT:,.0f}: train it again, with a smaller lr."
                    )
                step[name] = [len(packed) // 2, len(flat)]
                packed += flat.half().numpy().astype("<f2").tobytes()
        return packed


def _find_shape(node: Any) -> list[int]:
    return list(node.meta["tensor_meta"].shape)


def _expand(count: int, **window) -> dict[str, list[int]]:
    """Return the sizes of a window in each direction, which torch may have given once for all."""
    return {name: [*value] * (count // len(value)) for name, value in window.items()}


def _unknown(name: str) -> LabError:
    return LabError(
        f"recognizer's network computes {name.strip('_')}, which a page cannot: "
        f"build it of {KNOWN}."
    )
