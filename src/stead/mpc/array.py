"""``SecretArray``: a NumPy-like array that nobody can read; ``reveal`` is the only way out.

NumPy's functions and operators work on it (``stead.mpc.dispatch`` lists them); each runs at once, at all parties. It
turns into no number, no truth and no list by itself: what would need a value raises an error that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol, TypeAlias, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from stead.errors import UnknownAttribute, UsageError
from stead.mpc import dispatch
from stead.mpc.dispatch import Kind
from stead.mpc.operands import called, dtype_of, refused
from stead.mpc.values import Array, Value

Work: TypeAlias = Callable[..., Value]


class Runs(Protocol):
    """What an array needs of its session."""

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties' names."""
        ...

    def apply(self, name: str, work: Work, inputs: Sequence[SecretArray | Array]) -> object:
        """Run ``work(p, *values)`` at every party; what comes back is held by the result."""
        ...

    def opened(self, array: SecretArray, to: Sequence[str] | None) -> Array | None:
        """Open an array to parties."""
        ...


_OPEN = "compute on with NumPy's functions, and open the result with .reveal(to=...)"


def _refusal(what: str, hint: str = _OPEN) -> Callable[..., NoReturn]:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise UsageError(f"{what} of a SecretArray would need its values, which nobody here can see.", hint=hint)

    return refuse


def _unchanging(hint: str) -> Callable[..., NoReturn]:
    def refuse(*_arguments: object) -> NoReturn:
        raise UsageError("a SecretArray is not changed in place.", hint=hint)

    return refuse


class SecretArray(NDArrayOperatorsMixin):
    """An array whose values are shared among the parties of a session.

    Made by ``session.share``; results of NumPy's functions and operators on it are secret too. Numbers have 16 binary
    digits after the point; products of magnitude 2^30 and more overflow without a sign of it.

    Args:
        session: that runs its operations.
        held: what the session holds for it.
        shape: its shape.
        kind: ``float64``, ``int64`` or ``bool``.
    """

    __slots__ = ("_held", "_kind", "_session", "_shape")

    def __init__(self, session: Runs, held: object, shape: tuple[int, ...], kind: Kind) -> None:
        self._session, self._held, self._shape, self._kind = session, held, tuple(shape), kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; public."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self._shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What ``reveal`` gives: float64, int64 or bool."""
        return np.dtype(self._kind)

    @property
    def session(self) -> Any:
        """Where it lives: a ``LocalSession``, or inside ``call`` this party's ``PartySession``."""
        return self._session

    @property
    def T(self) -> SecretArray:  # noqa: N802 - as NumPy calls it
        """With the axes in reverse."""
        return cast("SecretArray", dispatch.transpose(self))

    def reveal(self, *, to: str | Sequence[str] | None = None) -> Array | None:
        """Open the values to these parties (none named: to all that are online).

        Returns:
            The values where this process is one of these parties, or holds them; else ``None``.

        Raises:
            UsageError: a name is none of the session's parties, or nobody is named.
        """
        names = [to] if isinstance(to, str) else to
        if names is not None and not (isinstance(names, (list, tuple, set, frozenset)) and names):
            raise UsageError(
                f"reveal(to=...) takes a party's name or several; got {to!r}.",
                hint=f"the parties are {', '.join(self._session.parties)}; without to= it opens to all that are online",
            )
        return self._session.opened(self, names if names is None else list(names))

    def astype(self, dtype: Any) -> SecretArray:
        """As numbers of another kind: to int64 toward zero, to bool whether not 0; there are no narrower ones."""
        return cast("SecretArray", dispatch.astype(self, dtype_of(dtype)))

    def reshape(self, *shape: int | Sequence[int]) -> SecretArray:
        """The same elements under another shape."""
        wanted = shape[0] if len(shape) == 1 else cast("Sequence[int]", shape)
        return cast("SecretArray", dispatch.reshape(self, wanted))

    def transpose(self, *axes: Any) -> SecretArray:
        """The axes in another order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return cast("SecretArray", dispatch.transpose(self, order))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return dispatch.ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Mapping[str, Any]) -> Any:
        found = dispatch.FUNCTIONS.get(function)
        if found is None:
            raise refused(function.__name__, dispatch.names())
        return called(found, function.__name__, arguments, options)

    def __getitem__(self, index: Any) -> SecretArray:
        return cast("SecretArray", dispatch.item(self, index))

    def __len__(self) -> int:
        if not self._shape:
            raise UsageError("a SecretArray of one number has no length.", hint=_OPEN)
        return self._shape[0]

    def __getattr__(self, name: str) -> NoReturn:
        raise UnknownAttribute(
            f"a SecretArray has no {name[:40]!r}.",
            hint="NumPy's functions take it, as in numpy.sort(a); .reveal(to=...) opens it",
        )

    def __format__(self, layout: str) -> str:
        if layout:
            raise UsageError(
                f"the format {layout[:20]!r} would need its values, which nobody here can see.", hint=_OPEN
            )
        return repr(self)

    def __repr__(self) -> str:
        return f"SecretArray(shape={self._shape}, dtype={self._kind}, values=<redacted>)"

    def _repr_html_(self) -> str:
        shape = " × ".join(map(str, self._shape)) or "one number"
        return f"<code>SecretArray</code> {shape}, {self._kind}, values &lt;redacted&gt;"

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "a SecretArray cannot be pickled or copied: its shares are for its parties alone.",
            hint="pass it on as it is; it never changes. A result leaves with .reveal(to=...)",
        )

    __hash__ = None  # type: ignore[assignment] # as NumPy's arrays
    __array__ = _refusal("numpy.asarray")
    __float__ = _refusal("float()")
    __int__ = _refusal("int()")
    __index__ = _refusal("an index")
    __complex__ = _refusal("complex()")
    __bool__ = _refusal(
        "the truth", "numpy.where(condition, a, b) chooses, & | ~ join truths, .reveal(to=...) opens one"
    )
    __iter__ = _refusal("iteration", "NumPy's functions take whole arrays; a[0], a[1:] and a.shape take parts of it")
    __setitem__ = _unchanging("numpy.where(mask, new, a) or numpy.concatenate gives a changed one")
    __delitem__ = _unchanging("a[1:], or numpy.concatenate, keeps the others")
    __round__ = _refusal("round()", "open the result with .reveal(to=...), and round that")
    __contains__ = _refusal("`in`")
    tolist = _refusal("tolist()")
    item = _refusal("item()")

    sum = dispatch.method(np.sum)
    mean = dispatch.method(np.mean)
    var = dispatch.method(np.var)
    std = dispatch.method(np.std)
    max = dispatch.method(np.max)
    min = dispatch.method(np.min)
    argmax = dispatch.method(np.argmax)
    argmin = dispatch.method(np.argmin)
    dot = dispatch.method(np.dot)
    clip = dispatch.method(np.clip)
    ravel = dispatch.method(np.ravel)
    squeeze = dispatch.method(np.squeeze)
    cumsum = dispatch.method(np.cumsum)
    argsort = dispatch.method(np.argsort)
    copy = dispatch.method(np.copy)
    flatten = dispatch.method(np.ravel)
    repeat = dispatch.method(np.repeat)
    swapaxes = dispatch.method(np.swapaxes)
    take = dispatch.method(np.take)
    any = dispatch.method(np.any)
    all = dispatch.method(np.all)


def held(array: SecretArray) -> Any:
    """What the session holds for an array; for sessions only."""
    return array._held  # noqa: SLF001 - a session and its arrays are one thing
