"""Verbs in which the dealer prepares and the openers open: truncation, selection, bits as numbers.

Symbols: z = z_2 + zeta with zeta = z_0 + z_1; m = z_2 + 2^62 is known to the openers P_1 and P_2, r = -zeta to the
dealer P_0, so z + 2^62 = m - r. R = r >> f, rho = the top bit of r; A = (m >> f) - 2^(62-f), low = 1 - the top bit
of m. For z in [-2^62, 2^62), A - R + 2^(64-f) low rho is z >> f or one more: docs/theory/replicated-sharing.md. In the
same way a bit b is b_2 xor beta, with beta = b_0 xor b_1 known to the dealer. A dealt secret d is d_1 + d_2: d_1 from
the keystream of P_0 and P_1, d_2 sent to P_2. The kernels are those of masked sharing, with r as the mask of m.
"""

from __future__ import annotations

import numpy as np

from stead.mpc.kernels import bits as kernels
from stead.mpc.kernels import masked
from stead.mpc.kernels.masked_reference import quotient_terms
from stead.mpc.party import RingStream
from stead.mpc.protocols.replicated.seat import DEALER, FIRST, Lanes, Seat, flat_size
from stead.mpc.shares import Bits, Planes, RingArray, Share

TOP = np.uint64(63)
ONE = np.uint64(1)


def truncate(seat: Seat, z: Share, f: int) -> Share:
    """The shift z >> f, or one more.

    Cost:
        Two rounds; 8 bytes and a lane (2 bytes for f <= 16) from the dealer, a lane from each opener, for each value.
    """
    shape, size = z.shape, z.size
    lanes = Lanes(f, size)
    if seat.place == DEALER:
        first, second = seat.stream(1), seat.stream(0)
        r = _mask(z)
        summand, rho_1, mu_1 = first.ring((size,)), lanes.draw(first), lanes.draw(first)
        mu = mu_1 + lanes.draw(second)
        rho_2 = lanes.of_bits(r >> TOP) - rho_1
        r >>= np.uint64(f)
        r += lanes.lifted(mu)
        r += summand
        other = np.negative(r, out=r)
        seat.deal(other, rho_2.view(np.uint64))
        return _share(shape, other, summand)
    if seat.place == FIRST:
        stream = seat.stream(1)
        kept, rho, mu = stream.ring((size,)), lanes.draw(stream), lanes.draw(stream)
    else:
        mu = lanes.draw(seat.stream(0))
        kept, packed = seat.dealt((size,), (lanes.words,))
        rho = lanes.of_words(packed)
    third, low = quotient_terms(_common(seat, z), f)
    half = lanes.of_bits(low & ONE)
    half *= rho
    half += mu
    third += lanes.lifted(half + lanes.of_words(seat.swap(half.view(np.uint64))))
    return _share(shape, *_ordered(seat, kept, third))


def select(seat: Seat, b: Bits, z: Share, f: int) -> Share:
    """The product b z, or with f > 0 b times what ``truncate`` gives.

    Cost:
        Two rounds. f = 0: 16 bytes from the dealer, 8 from each opener, for each value. f > 0: 24 bytes and two lanes
        from the dealer, 8 from each opener.
    """
    size = z.size
    if seat.place == DEALER:
        seat.deal(*_prepared(seat, b.parts[0][0] ^ b.parts[1][0], _mask(z), f))
        return _kept_by_dealer(seat, z.shape)
    chosen, common = _known(seat, b)[0], _common(seat, z)
    first = seat.place == FIRST
    if f:
        lanes = Lanes(f, size)
        narrow = (lanes.words,)
        quotient, bit, both, *packed = _dealt(seat, (size,), (size,), (size,), narrow, narrow)
        wrap, both_wrap = (lanes.of_words(words)[:size] for words in packed)
        u = _own_stream(seat).ring((size,))
        half = masked.select_truncate_part(chosen, common, (quotient, wrap, bit, both, both_wrap), u, f, first=first)
    else:
        bit, both = _dealt(seat, (size,), (size,))
        u = _own_stream(seat).ring((size,))
        mask = np.negative(z.parts[0 if first else 1]).reshape(-1)
        half = masked.select_part(chosen, (common, mask), (bit, both), u, first=first)
    return _opened(seat, z.shape, half, u)


def inject(seat: Seat, a: Bits) -> Share:
    """Each bit as 0 or 1 in Z_2^64: b_2 + (1 - 2 b_2) beta.

    Cost:
        Two rounds; 8 bytes from the dealer and 8 from each opener, for each bit.
    """
    shape, size = (a.width, *a.shape), flat_size(a.shape)
    if seat.place == DEALER:
        beta = unpacked(a.parts[0] ^ a.parts[1], size)
        seat.deal(seat.stream(1).taken_from(beta))
        return _kept_by_dealer(seat, shape)
    known = _known(seat, a)
    dealt = _dealt(seat, (a.width, size))[0]
    u = _own_stream(seat).ring((a.width, size))
    half = np.empty_like(u)
    for row, out in enumerate(half):
        out[...] = masked.inject_part(known[row], dealt[row], u[row], first=seat.place == FIRST)
    return _opened(seat, shape, half, u)


def unpacked(planes: Planes, size: int) -> RingArray:
    """Packed bits as zeros and ones, a row for each plane."""
    rows = np.empty((len(planes), size), dtype=np.uint64)
    for row, plane in zip(rows, planes, strict=True):
        row[...] = kernels.unpack(plane, size)
    return rows


def _prepared(seat: Seat, beta: Planes, r: RingArray, f: int) -> list[RingArray]:
    """P_2's parts of what ``select`` deals: R, beta, beta R, rho, beta rho, or beta and beta r."""
    stream, bit = seat.stream(1), kernels.unpack(beta, r.size)
    if not f:
        return [_taken(stream, secret) for secret in (bit, bit * r)]
    rho = r >> TOP
    r >>= np.uint64(f)
    sent = [_taken(stream, secret) for secret in (r, bit, bit * r)]
    lanes = Lanes(f, r.size)
    return sent + [(lanes.of_bits(one) - lanes.draw(stream)).view(np.uint64) for one in (rho, bit & rho)]


def _taken(stream: RingStream, secret: RingArray) -> RingArray:
    """A dealt secret without P_1's part, which is keystream."""
    return stream.taken_from(secret)


def _dealt(seat: Seat, *shapes: tuple[int, ...]) -> list[RingArray]:
    """An opener's parts of dealt secrets."""
    return [seat.stream(1).ring(shape) for shape in shapes] if seat.place == FIRST else seat.dealt(*shapes)


def _own_stream(seat: Seat) -> RingStream:
    """The keystream of an opener and the dealer."""
    return seat.stream(1 if seat.place == FIRST else 0)


def _opened(seat: Seat, shape: tuple[int, ...], half: RingArray, u: RingArray) -> Share:
    """The openers' summands: what they exchange, masked by u, and -u."""
    third = half + seat.swap(half)
    return _share(shape, *_ordered(seat, np.negative(u, out=u), third))


def _kept_by_dealer(seat: Seat, shape: tuple[int, ...]) -> Share:
    """The dealer's summands of what the openers open."""
    own, other = (seat.stream(summand).ring(shape) for summand in (0, 1))
    return Share((np.negative(own, out=own), np.negative(other, out=other)))


def _ordered(seat: Seat, kept: RingArray, third: RingArray) -> tuple[RingArray, RingArray]:
    return (kept, third) if seat.place == FIRST else (third, kept)


def _mask(z: Share) -> RingArray:
    """The dealer's r: minus the summands that it knows."""
    total: RingArray = np.negative(z.parts[0] + z.parts[1])
    return total.reshape(-1)


def _common(seat: Seat, z: Share) -> RingArray:
    """The summand z_2, which both openers know."""
    return np.ascontiguousarray(z.parts[1 if seat.place == FIRST else 0]).reshape(-1)


def _known(seat: Seat, b: Bits) -> Planes:
    """The summand b_2."""
    return b.parts[1 if seat.place == FIRST else 0]


def _share(shape: tuple[int, ...], *parts: RingArray) -> Share:
    return Share(tuple(part.reshape(shape) for part in parts))
