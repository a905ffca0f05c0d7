"""Stands in for the GPU of a Mac: tensors that lie there, and what PyTorch refuses to do there.

    with Mac():
        model.to("mps")(x.to("mps"))

The tensors lie in this machine's memory, but say otherwise. Refused are, as PyTorch 2.13 does, the
CTC loss, float64, NumPy, and computing with tensors of the CPU.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MPS, CPU = torch.device("mps"), torch.device("cpu")
MAKES_NO_TENSOR = ("device", "_parse_to", "_has_compatible_shallow_copy_type")
TAKES_BOTH = ("copy_", "__getitem__", "__set__", "__setitem__")


class OnMac(torch.Tensor):
    """A tensor that is said to lie in the memory of a Mac's GPU."""


class Mac(TorchFunctionMode):
    def __enter__(self):
        self.before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        return super().__enter__()

    def __exit__(self, *error):
        torch.__future__.set_overwrite_module_params_on_conversion(self.before)
        return super().__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in MAKES_NO_TENSOR:
            return func(*args, **kwargs)
        leaves = tree_leaves((args, kwargs))
        given = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        there = [isinstance(tensor, OnMac) for tensor in given]
        if func == torch.Tensor.device.__get__:
            return MPS if there[0] else CPU
        if any(there):
            _refuse(name, [t for t, lies_there in zip(given, there, strict=True) if not lies_there])
        places = [torch.device(leaf) for leaf in leaves if _is_place(leaf)] + [CPU] * (
            name == "cpu"
        )
        args, kwargs = tree_map(lambda leaf: CPU if _is_place(leaf) else leaf, (args, kwargs))
        result = func(*args, **kwargs)
        if places and isinstance(result, torch.Tensor):
            result = result.as_subclass(OnMac if places[0] == MPS else torch.Tensor)
        if any(isinstance(t, OnMac) and t.dtype == torch.float64 for t in tree_leaves(result)):
            raise TypeError("the MPS framework doesn't support float64")
        return result


def _is_place(leaf) -> bool:
    return isinstance(leaf, torch.device) or (isinstance(leaf, str) and leaf in ("cpu", "mps"))


def _refuse(name: str, from_cpu: list[torch.Tensor]) -> None:
    if "ctc_loss" in name:
        raise NotImplementedError("'aten::_ctc_loss' is not currently implemented for MPS")
    if name in ("numpy", "__array__"):
        raise TypeError("can't convert mps:0 device type tensor to numpy")
    if name not in TAKES_BOTH and any(tensor.ndim for tensor in from_cpu):
        raise RuntimeError(f"Expected all tensors to be on the same device, for {name}")
