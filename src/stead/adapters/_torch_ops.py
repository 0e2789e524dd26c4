"""The table's operations as torch functions, each total in the same way as its NumPy kernel.

Every function takes the inputs of one example, the attributes and the declared types of the outputs. Mapping over
examples is ``torch.func.vmap``'s work.
"""
# ruff: noqa: FBT003  # the calls are ATen's

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from stead.plans.ops.operation import Attributes, Types

if TYPE_CHECKING:
    import torch

Tensors: TypeAlias = "Sequence[torch.Tensor]"
Function: TypeAlias = Callable[[Tensors, Attributes, Types], Any]


def table(torch: Any) -> Mapping[str, Function]:
    """The torch function of each operation of the table.

    Args:
        torch: the torch module, passed in so that importing this module loads nothing.
    """
    return MappingProxyType(
        {
            **_elementwise(torch),
            **_moving(torch),
            **_reducing(torch),
            **_windows(torch),
            **_indexing(torch),
            "mm": lambda t, _a, _o: t[0] @ t[1],
            "bmm": lambda t, _a, _o: torch.bmm(t[0], t[1]),
        }
    )


def _dtype(torch: Any, name: Any) -> Any:
    return getattr(torch, name)


def _elementwise(torch: Any) -> dict[str, Function]:
    names = (
        "neg",
        "abs",
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "rsqrt",
        "sin",
        "cos",
        "tanh",
        "sigmoid",
        "erf",
        "relu",
        "logical_not",
        "add",
        "sub",
        "mul",
        "div",
        "pow",
        "maximum",
        "minimum",
        "eq",
        "ne",
        "lt",
        "le",
        "logical_and",
        "logical_or",
        "where",
    )

    def plain(function: Any) -> Function:
        return lambda t, _a, _o: function(*t)

    def to(t: Tensors, _a: Attributes, outputs: Types) -> Any:
        target = _dtype(torch, outputs[0].dtype)
        if target is torch.int64 and t[0].dtype.is_floating_point:
            return torch.nan_to_num(t[0].double(), nan=0.0).clamp(-(2.0**63), 2.0**63 - 1024).to(target)
        return t[0].to(target)

    def sign(t: Tensors, _a: Attributes, _o: Types) -> Any:
        return torch.where(t[0] == t[0], torch.sign(t[0]), t[0])  # torch's own gives 0 for NaN

    return {**{name: plain(getattr(torch, name)) for name in names}, "to": to, "sign": sign}


def _moving(torch: Any) -> dict[str, Function]:
    def full(_t: Tensors, a: Attributes, outputs: Types) -> Any:
        return torch.full(outputs[0].shape, a["value"], dtype=_dtype(torch, outputs[0].dtype))

    def cut(t: Tensors, a: Attributes, _o: Types) -> Any:
        index = (slice(None),) * int(a["axis"]) + (slice(a["start"], a["end"], a["step"]),)  # type: ignore[arg-type]
        return t[0][index]

    def pad(t: Tensors, a: Attributes, _o: Types) -> Any:
        pairs = list(zip(a["before"], a["after"], strict=True))[::-1]  # type: ignore[arg-type]
        return torch.constant_pad_nd(t[0], [size for pair in pairs for size in pair], a["value"])

    return {
        "full": full,
        "arange": lambda _t, a, _o: torch.arange(a["start"], a["end"], a["step"], dtype=torch.int64),
        "view": lambda t, _a, o: t[0].reshape(o[0].shape),
        "permute": lambda t, a, _o: t[0].permute(a["axes"]),
        "expand": lambda t, _a, o: t[0].expand(o[0].shape),
        "slice": cut,
        "cat": lambda t, a, _o: torch.cat(list(t), dim=a["axis"]),
        "pad": pad,
        "flip": lambda t, a, _o: t[0].flip(a["axes"]) if a["axes"] else t[0],
    }


def _reducing(torch: Any) -> dict[str, Function]:
    def total(t: Tensors, a: Attributes, _o: Types) -> Any:
        return t[0].sum(dim=a["axes"], keepdim=a["keep"], dtype=t[0].dtype) if a["axes"] else t[0]

    return {
        "sum": total,
        "amax": lambda t, a, _o: torch.amax(t[0], dim=a["axes"], keepdim=a["keep"]) if a["axes"] else t[0],
        "argmax": lambda t, a, _o: torch.argmax(t[0], dim=a["axis"], keepdim=a["keep"]),
    }


def _windows(torch: Any) -> dict[str, Function]:
    aten = torch.ops.aten

    def convolution(t: Tensors, a: Attributes, _o: Types) -> Any:
        zeros = [0] * (t[1].ndim - 2)
        return aten.convolution(t[0], t[1], None, a["stride"], a["padding"], a["dilation"], False, zeros, a["groups"])

    def transpose(t: Tensors, a: Attributes, _o: Types) -> Any:
        return aten.convolution(
            t[0], t[1], None, a["stride"], a["padding"], a["dilation"], True, a["extra"], a["groups"]
        )

    def weight_grad(t: Tensors, a: Attributes, outputs: Types) -> Any:
        images, gradient = t
        zeros = [0] * (images.ndim - 2)
        shown = torch.zeros(outputs[0].shape, dtype=images.dtype)  # only its shape is looked at
        return aten.convolution_backward(
            gradient,
            images,
            shown,
            None,
            a["stride"],
            a["padding"],
            a["dilation"],
            False,
            zeros,
            a["groups"],
            [False, True, False],
        )[1]

    return {
        "convolution": convolution,
        "convolution_transpose": transpose,
        "convolution_weight_grad": weight_grad,
        "avg_pool2d": lambda t, a, _o: aten.avg_pool2d(t[0], a["size"], a["stride"], a["padding"]),
        "max_pool2d_with_indices": lambda t, a, _o: aten.max_pool2d_with_indices(
            t[0], a["size"], a["stride"], a["padding"], a["dilation"]
        ),
    }


def _indexing(torch: Any) -> dict[str, Function]:
    def bounded(index: Any, size: int) -> tuple[Any, Any]:
        return index.clamp(0, size - 1), (index >= 0) & (index < size)

    def nothing(value: Any) -> Any:
        return torch.tensor(float("nan") if value.dtype.is_floating_point else 0, dtype=value.dtype)

    def zero(value: Any) -> Any:
        return torch.zeros((), dtype=value.dtype)

    def along(valid: Any, axis: int, rank: int) -> Any:
        return valid.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))

    def gather(t: Tensors, a: Attributes, _o: Types) -> Any:
        index, valid = bounded(t[1], t[0].shape[a["axis"]])
        return torch.where(valid, torch.gather(t[0], a["axis"], index), nothing(t[0]))

    def scatter_add(t: Tensors, a: Attributes, _o: Types) -> Any:
        index, valid = bounded(t[1], t[0].shape[a["axis"]])
        return torch.scatter_add(t[0], a["axis"], index, torch.where(valid, t[2], zero(t[2])))

    def index_select(t: Tensors, a: Attributes, _o: Types) -> Any:
        axis: Any = a["axis"]
        index, valid = bounded(t[1], t[0].shape[axis])
        return torch.where(along(valid, axis, t[0].ndim), torch.index_select(t[0], axis, index), nothing(t[0]))

    def index_add(t: Tensors, a: Attributes, _o: Types) -> Any:
        axis: Any = a["axis"]
        index, valid = bounded(t[1], t[0].shape[axis])
        return torch.index_add(t[0], axis, index, torch.where(along(valid, axis, t[0].ndim), t[2], zero(t[2])))

    return {"gather": gather, "scatter_add": scatter_add, "index_select": index_select, "index_add": index_add}
