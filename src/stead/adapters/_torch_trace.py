"""From a torch function of one example to a ``Program``: tracing, and walking the graph."""

from __future__ import annotations

import contextlib
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from stead.adapters._torch_layers import LAYERS
from stead.adapters._torch_lower import RULES
from stead.errors import BadMessage, MissingExtra, UnsupportedOperation
from stead.plans.builder import ProgramBuilder, Value
from stead.plans.check import check_program
from stead.plans.program import DType, Program, Role, TensorType

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

Lowered: TypeAlias = "Value | tuple[Value | None, ...]"

_EVAL = "trace after module.eval(), or make the mask an input of the module"
_BY_DATA = ("_local_scalar_dense.default", "nonzero.default", "masked_select.default", "_unique2.default")
_ALONE = "write it with torch.where, or for a fixed number of times"


def load_torch() -> Any:
    """The torch module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtra("PyTorch is not installed.", hint="pip install 'stead[torch]'") from None
    return torch


@dataclass(frozen=True)
class Argument:
    """An input of the Program to be traced, with a tensor that shows its type."""

    name: str
    role: Role
    tensor: torch.Tensor


def dtype_name(dtype: torch.dtype, what: str) -> DType:
    """The table's name of a torch dtype.

    Raises:
        UnsupportedOperation: it has none; float64 among them, since a trace of it is nearly always a leak.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in ("float32", "int64", "bool"):
        raise UnsupportedOperation(
            f"{what[:200]} is of type {name}; a Program holds float32, int64 and bool.",
            hint="module.float(), and x.float() or y.long() for the example",
        )
    return cast("DType", name)


def kind_of(tensor: torch.Tensor, what: str) -> TensorType:
    """The type of a torch tensor (see ``dtype_name`` for what is refused)."""
    if not all(type(size) is int for size in tensor.shape):
        raise UnsupportedOperation(f"{what[:200]} has a shape that is decided by the data.", hint=_ALONE)
    return TensorType(dtype_name(tensor.dtype, what), tuple(tensor.shape))


def trace_function(
    function: Callable[..., Sequence[Any]], arguments: Sequence[Argument], names: Sequence[str]
) -> Program:
    """Trace a function of tensors.

    Args:
        function: takes the arguments' tensors, gives a list of tensors.
        arguments: the inputs, in order.
        names: the names of the outputs, in order.

    Returns:
        A checked Program; the same bytes for the same function.

    Raises:
        UnsupportedOperation: it does something that the table does not hold; names it.
    """
    for argument in arguments:
        kind_of(argument.tensor, f"input {argument.name!r}")
    graph = _graph(function, [argument.tensor for argument in arguments])
    program = _Walk(graph, arguments).program(names)
    check_program(program)
    return program


@contextlib.contextmanager
def _plain_kernels() -> Iterator[None]:
    """Without fused kernels, which would stand in the graph as one opaque call."""
    torch = load_torch()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings(), contextlib.ExitStack() as undo:
        torch.backends.mha.set_fastpath_enabled(False)
        undo.callback(torch.backends.mha.set_fastpath_enabled, fast)
        warnings.filterwarnings("ignore", message="TF32 acceleration", category=UserWarning)
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


def _decompositions() -> dict[Any, Any]:
    torch = load_torch()
    from torch._decomp import core_aten_decompositions, get_decompositions

    aten = torch.ops.aten
    table = dict(core_aten_decompositions())
    more = [
        aten.elu,
        aten.elu_backward,
        aten.leaky_relu,
        aten.leaky_relu_backward,
        aten.hardtanh,
        aten.hardtanh_backward,
        aten.native_layer_norm_backward,
        aten.native_group_norm_backward,
    ]
    table.update(get_decompositions(more))
    ours = {f"aten.{name}" for name in (*RULES, *LAYERS)}
    return {overload: rule for overload, rule in table.items() if str(overload) not in ours}


def _graph(function: Callable[..., Any], tensors: list[Any]) -> GraphModule:
    """The function as a graph of core ATen calls on fake tensors, without mutation."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
    from torch.func import functionalize
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    given = {"tracing_mode": "fake", "_allow_non_fake_inputs": True}
    try:
        with _plain_kernels():
            first = make_fx(function, decomposition_table=_decompositions(), **given)(*tensors)
            _refuse_random(first)
            graph = make_fx(functionalize(first), **given)(*tensors)
    except (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode) as error:
        call = getattr(error, "func", None) or "a value"
        raise UnsupportedOperation(
            f"what the module does next is decided by the data ({str(call)[:80]}).", hint=_ALONE
        ) from None
    graph.graph.eliminate_dead_code()
    return cast("GraphModule", graph)


def _refuse_random(graph: GraphModule) -> None:
    torch = load_torch()
    for node in graph.graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            raise UnsupportedOperation(f"{node.target} draws random numbers; a Program cannot.", hint=_EVAL)


class _Walk:
    """Turns the nodes of a graph into steps, one by one.

    Args:
        graph: core ATen calls on fake tensors.
        arguments: the inputs, in the order of the placeholders.
    """

    def __init__(self, graph: GraphModule, arguments: Sequence[Argument]) -> None:
        self._graph = graph
        self._arguments = list(arguments)
        self._builder = ProgramBuilder()
        self._known: dict[Node, Lowered] = {}

    def program(self, names: Sequence[str]) -> Program:
        """The Program whose outputs are the graph's, under these names."""
        arguments = iter(self._arguments)
        for node in self._graph.graph.nodes:
            if node.op == "placeholder":
                given = next(arguments)
                kind = kind_of(given.tensor, f"input {given.name!r}")
                self._known[node] = self._builder.input(given.name, given.role, kind)
            elif node.op == "get_attr":
                self._known[node] = self._builder.constant(self._attribute(node))
            elif node.op == "call_function":
                self._known[node] = self._call(node)
        found = [self._argument(item) for item in self._output().args[0]]
        return self._builder.build(dict(zip(names, found, strict=True)))

    def _output(self) -> Node:
        return cast("Node", next(node for node in self._graph.graph.nodes if node.op == "output"))

    def _attribute(self, node: Node) -> np.ndarray[Any, Any]:
        tensor = getattr(self._graph, str(node.target))
        kind_of(tensor, "a tensor inside the module")
        return np.array(tensor.detach().cpu().numpy())

    def _argument(self, item: Any) -> Any:
        if isinstance(item, (list, tuple)):
            return [self._argument(part) for part in item]
        return self._known[item] if hasattr(item, "op") else item

    def _call(self, node: Node) -> Lowered:
        if node.target is operator.getitem:
            found = self._argument(node.args[0])[node.args[1]]
            if found is None and node.users:
                raise UnsupportedOperation(f"{node.args[0]} gives a value that the table does not hold.")
            return cast("Lowered", found)
        name = str(node.target).removeprefix("aten.")
        rule = RULES.get(name) or LAYERS.get(name)
        if name == "copy_.default" and isinstance(node.args[0], type(node)):
            raise self._mutation(node.args[0])
        if name in _BY_DATA:
            raise UnsupportedOperation(f"{node.target}: what comes next is decided by the data.", hint=_ALONE)
        if rule is None:
            raise UnsupportedOperation(f"the operation {node.target} is not in the table.", hint=_hint(name))
        kinds = self._kinds(node)
        try:
            result = rule(self._builder, kinds[0], *self._argument(node.args), **self._named(node))
        except BadMessage as error:
            raise UnsupportedOperation(
                f"the operation {node.target} is in the table, but not so: {error.what}"
            ) from None
        self._compare(node, kinds, result)
        return result

    def _named(self, node: Node) -> dict[str, Any]:
        return {name: self._argument(item) for name, item in node.kwargs.items()}

    def _mutation(self, target: Any) -> UnsupportedOperation:
        places = [node for node in self._graph.graph.nodes if node.op == "placeholder"]
        name = self._arguments[places.index(target)].name if target in places else str(target)
        return UnsupportedOperation(f"the module writes to {name!r} in place; a Program cannot.", hint=_EVAL)

    def _kinds(self, node: Node) -> list[TensorType | None]:
        made = node.meta.get("val")
        values = made if isinstance(made, (list, tuple)) else [made]
        kinds: list[TensorType | None] = []
        for at, value in enumerate(values):
            used = len(values) == 1 or any(
                user.target is operator.getitem and user.args[1] == at for user in node.users
            )
            kinds.append(kind_of(value, f"what {node.target} gives") if hasattr(value, "dtype") and used else None)
        if kinds[0] is None:
            kinds[0] = next((kind for kind in kinds if kind), TensorType("float32", ()))
        return kinds

    def _compare(self, node: Node, kinds: list[TensorType | None], result: Lowered) -> None:
        """Whether a rule gives what torch gives; types only."""
        results = result if isinstance(result, tuple) else (result,)
        many = isinstance(node.meta.get("val"), (list, tuple))
        used = {user.args[1] for user in node.users if user.target is operator.getitem}
        for at, (kind, value) in enumerate(zip(kinds, results, strict=True)):
            if (at in used or not many) and value is not None and value.type != kind:
                raise UnsupportedOperation(f"{node.target} gives {kind}; its steps would give {value.type}.")


def _hint(name: str) -> str:
    if "embedding_bag" in name:
        return "use nn.Embedding and a mean or sum over its rows"
    if "rnn" in name or "lstm" in name or "gru" in name:
        return "write the cell's steps out in the module"
    return "docs/reference/operations.md lists what a Program can hold"
