"""The online party's side of a step: take dealt parts, compute, exchange with the other online party."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stead.errors import UsageError
from stead.mpc.kernels import bits as kernels
from stead.mpc.kernels import masked as fused
from stead.mpc.kernels.masked_reference import products_of
from stead.mpc.party import Party
from stead.mpc.protocols.masked import arithmetic
from stead.mpc.protocols.masked.comparison import Leaves, Linear, Pair, Wanted
from stead.mpc.protocols.masked.material import FIRST, SECOND, Material
from stead.mpc.shares import RingArray, Share, words


class Online:
    """One of the two parties that compute: its keystream of masks, its dealt parts, and the other one.

    Args:
        party: at place 1 or 2.
        material: claimed.
    """

    def __init__(self, party: Party, material: Material) -> None:
        self.party = party
        self.first = party.place == FIRST
        self.other = SECOND if self.first else FIRST
        self._material = material
        self._steps = 0
        self._greeted = False

    def step(self, verb: str) -> None:
        """The next verb: it must be the one that was prepared.

        Raises:
            UsageError: it is another, or there is no more.
        """
        trace, at = self._material.trace, self._steps
        self._steps += 1
        if trace is not None and (at >= len(trace) or trace[at] != verb):
            prepared = repr(trace[at]) if at < len(trace) else "nothing more"
            raise UsageError(
                f"step {at + 1} of this run is {verb!r}, and {prepared} was prepared.",
                hint="prepare the computation that is run: the same verbs on the same shapes in the same order",
            )

    def masks(self, shape: tuple[int, ...]) -> RingArray:
        """This party's part of fresh masks."""
        return self._material.masks.ring(shape)

    def dealt(self, shape: tuple[int, ...]) -> RingArray:
        """This party's parts of dealt ring elements or planes; not to be written to."""
        return self._material.dealt.block(int(np.prod(shape, dtype=np.int64))).reshape(shape)

    def narrow(self, count: int, bits: int) -> fused.Narrow:
        """This party's parts of dealt values of which only ``bits`` bits matter."""
        kind = arithmetic.narrow(bits)
        return self._material.dealt.block(arithmetic.narrow_words(count, bits)).view(kind)[:count]

    def exchange(
        self, outgoing: Mapping[int, tuple[RingArray, ...]], expect: Mapping[int, tuple[tuple[int, ...], ...]]
    ) -> dict[int, list[RingArray]]:
        """One round; see ``Party.exchange``."""
        if not self._greeted:
            self._greet()
        return self.party.exchange(outgoing, expect)

    def swap(self, mine: RingArray) -> RingArray:
        """One round: what the other online party sends for what this one does."""
        return self.exchange({self.other: (mine,)}, {self.other: (mine.shape,)})[self.other][0]

    def opened(self, mine: RingArray) -> RingArray:
        """One round: the sum of both parts, in the place of this one's."""
        return np.add(mine, self.swap(mine), out=mine)

    def _greet(self) -> None:
        """One round, before the first: both hold material of one preparation."""
        self._greeted = True
        mine = np.frombuffer(self._material.id, dtype=np.uint64)
        theirs = self.party.exchange({self.other: (mine,)}, {self.other: (mine.shape,)})[self.other][0]
        if theirs.tobytes() != self._material.id:
            raise UsageError(
                f"{self.party.names[self.other]} uses material {theirs.tobytes().hex()[:8]} and "
                f"{self.party.names[self.party.place]} {self._material.id.hex()[:8]}: they were not prepared together.",
                hint="give both parties the material of one preparation",
            )

    def leaves(self, x: Share, bits: int) -> Leaves:
        """See ``Side``."""
        n = kernels.to_planes(x.parts[0], bits, invert=True, threads=self.party.threads)
        return Leaves(x.shape, n, self.dealt((bits, words(x.shape))))

    def digits(self, leaves: Leaves, rows: slice) -> Linear:
        """See ``Side``."""
        return ~(leaves.r[rows] ^ leaves.n[rows]) if self.first else leaves.r[rows].copy()

    def groups(self, leaves: Leaves, count: int, wanted: Wanted) -> tuple[Linear, Linear]:
        """See ``Side``."""
        size, columns, threads = arithmetic.GROUP, words(leaves.shape), self.party.threads
        full, rest = divmod(count, size)
        total = count if wanted.every else full + (rest > 0)
        g = np.empty((total, columns), dtype=np.uint64) if wanted.borrow else None
        p = np.empty((total, columns), dtype=np.uint64) if wanted.equal else None
        row = 0
        for rows, depth in ((slice(0, full * size), size), (slice(full * size, count), rest)):
            if rows.start == rows.stop:
                continue
            groups = (rows.stop - rows.start) // depth
            products = self.dealt((products_of(depth) * groups, columns))
            end = row + groups * (depth if wanted.every else 1)
            into = (None if g is None else g[row:end], None if p is None else p[row:end])
            operands = (leaves.n[rows], leaves.r[rows], products)
            fused.fold_groups(operands, depth, into, first=self.first, every=wanted.every, threads=threads)
            row = end
        none = np.empty((0, columns), dtype=np.uint64)
        return none if g is None else g, none if p is None else p

    def both(self, x: Pair, y: Pair) -> Linear:
        """See ``Side``."""
        return fused.masked_and(x, y, self.dealt(x[0].shape), first=self.first, threads=self.party.threads)

    def open(self, columns: int, *several: Linear) -> list[Pair]:
        """See ``Side``."""
        counts = [len(rows) for rows in several]
        masks = self.masks((sum(counts), columns))
        part, at = np.empty_like(masks), 0
        for rows in several:
            np.bitwise_xor(rows, masks[at : at + len(rows)], out=part[at : at + len(rows)])
            at += len(rows)
        m = np.bitwise_xor(part, self.swap(part), out=part)
        cuts = np.cumsum(counts)[:-1]
        return list(zip(np.split(m, cuts), np.split(masks, cuts), strict=True))
