"""Verbs in which the dealer prepares and the openers open: truncation, selection, bits as numbers.

Symbols: z = z_2 + zeta with zeta = z_0 + z_1; m = z_2 + 2^62 is known to the openers P_1 and P_2, r = -zeta to the
dealer P_0, so z + 2^62 = m - r. R = r >> f, rho = the top bit of r; A = (m >> f) - 2^(62-f), low = 1 - the top bit
of m. For z in [-2^62, 2^62), A - R + 2^(64-f) low rho is z >> f or one more: docs/theory/replicated-sharing.md. In the
same way a bit b is b_2 xor beta, with beta = b_0 xor b_1 known to the dealer. A dealt secret d is d_1 + d_2: d_1 from
the keystream of P_0 and P_1, d_2 sent to P_2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stead.mpc.kernels import bits as kernels
from stead.mpc.protocols.replicated.seat import DEALER, FIRST, Lanes, Seat, flat_size
from stead.mpc.shares import Bits, RingArray, Share

TOP = np.uint64(63)
ONE = np.uint64(1)
OFFSET = np.uint64(1 << 62)
_BLOCK = 1 << 14


def truncate(seat: Seat, z: Share, f: int) -> Share:
    """The shift z >> f, or one more.

    Cost:
        Two rounds; 8 bytes and a lane (2 bytes for f <= 16) from the dealer, a lane from each opener, for each value.
    """
    shape, size = z.shape, z.size
    lanes = Lanes(f, size)
    if seat.place == DEALER:
        first, second = seat.stream(1), seat.stream(0)
        r = _negative_sum(z)
        summand, rho_1, mu_1 = first.ring((size,)), lanes.draw(first), lanes.draw(first)
        mu = mu_1 + lanes.draw(second)
        rho_2 = lanes.of_bits(r >> TOP) - rho_1
        other = np.negative(r >> np.uint64(f))
        other -= lanes.lifted(mu)
        other -= summand
        seat.deal(other, rho_2.view(np.uint64))
        return _share(shape, other, summand)
    if seat.place == FIRST:
        stream = seat.stream(1)
        kept, rho, mu = stream.ring((size,)), lanes.draw(stream), lanes.draw(stream)
    else:
        mu = lanes.draw(seat.stream(0))
        kept, packed = seat.dealt((size,), (lanes.words,))
        rho = lanes.of_words(packed)
    m = _common(seat, z) + OFFSET
    half = lanes.of_bits((m >> TOP) ^ ONE) * rho
    half += mu
    opened = half + lanes.of_words(seat.swap(half.view(np.uint64)))
    third = lanes.lifted(opened)
    third += m >> np.uint64(f)
    third -= np.uint64(1 << (62 - f))
    return _share(shape, *((kept, third) if seat.place == FIRST else (third, kept)))


def select(seat: Seat, b: Bits, z: Share, f: int) -> Share:
    """The product b z, or with f > 0 b times what ``truncate`` gives.

    Cost:
        Two rounds. f = 0: 16 bytes from the dealer, 8 from each opener, for each value. f > 0: 24 bytes and two lanes
        from the dealer, 8 from each opener.
    """
    shape, size = z.shape, z.size
    if seat.place == DEALER:
        beta = kernels.unpack(b.parts[0][0] ^ b.parts[1][0], size)
        first, second = seat.stream(1), seat.stream(0)
        if f:
            r = _negative_sum(z)
            minus_r, rho = np.negative(r >> np.uint64(f)), r >> TOP
            sent = [_dealt(seat, secret) for secret in (minus_r, beta, beta * minus_r)]
            lanes = Lanes(f, size)
            sent += [(lanes.of_bits(bit) - lanes.draw(first)).view(np.uint64) for bit in (rho, beta & rho)]
        else:
            zeta = (z.parts[0] + z.parts[1]).reshape(-1)
            sent = [_dealt(seat, secret) for secret in (beta, beta * zeta)]
        own = first.ring((size,)), second.ring((size,))
        seat.deal(*sent)
        return _share(shape, own[1], own[0])
    held = _received(seat, z, f)
    kept = seat.stream(1 if seat.place == FIRST else 0).ring((size,))
    chosen = np.negative(kernels.unpack(b.parts[1 if seat.place == FIRST else 0][0], size))
    half = _chosen_half(chosen, held, kept, first=seat.place == FIRST)
    third = half + seat.swap(half)
    return _share(shape, *((kept, third) if seat.place == FIRST else (third, kept)))


def inject(seat: Seat, a: Bits) -> Share:
    """Each bit as 0 or 1 in Z_2^64: b_2 + (1 - 2 b_2) beta.

    Cost:
        Two rounds; 8 bytes from the dealer and 8 from each opener, for each bit.
    """
    shape, size = (a.width, *a.shape), flat_size(a.shape)
    total = a.width * size
    if seat.place == DEALER:
        beta = _rows(a.parts[0] ^ a.parts[1], size)
        sent = _dealt(seat, beta)
        own = seat.stream(1).ring((total,)), seat.stream(0).ring((total,))
        seat.deal(sent)
        return _share(shape, own[1], own[0])
    first = seat.place == FIRST
    dealt = seat.stream(1).ring((total,)) if first else seat.dealt((total,))[0]
    kept = seat.stream(1 if first else 0).ring((total,))
    known = _rows(a.parts[1 if first else 0], size)
    sign = np.negative(known)
    half = dealt ^ sign
    half -= sign
    if first:
        half += known
    half -= kept
    third = half + seat.swap(half)
    return _share(shape, *((kept, third) if first else (third, kept)))


@dataclass(frozen=True, repr=False)
class _Held:
    """What an opener holds to choose from: b = 0 gives its part of beta v, b = 1 its part of (1 - beta) v.

    With v = common + rest: ``common`` is known to both openers; ``rest``, ``beta`` and ``beta_rest`` are shared between
    them; ``rho`` and ``beta_rho``, lifted to 2^(64-f), count where ``low`` is all ones.
    """

    common: RingArray
    rest: RingArray
    beta: RingArray
    beta_rest: RingArray
    low: RingArray | None = None
    rho: RingArray | None = None
    beta_rho: RingArray | None = None


def _received(seat: Seat, z: Share, f: int) -> _Held:
    size, common = z.size, _common(seat, z)
    first = seat.place == FIRST
    stream = seat.stream(1 if first else 0)
    if not f:
        rest = z.parts[0 if first else 1].reshape(-1)
        beta, beta_rest = [stream.ring((size,)) for _ in range(2)] if first else seat.dealt((size,), (size,))
        return _Held(common, rest, beta, beta_rest)
    lanes = Lanes(f, size)
    if first:
        dealt = [stream.ring((size,)) for _ in range(3)] + [stream.ring((lanes.words,)) for _ in range(2)]
    else:
        dealt = seat.dealt((size,), (size,), (size,), (lanes.words,), (lanes.words,))
    m = common + OFFSET
    low = (m >> TOP) - ONE
    m >>= np.uint64(f)
    m -= np.uint64(1 << (62 - f))
    rho, beta_rho = (lanes.lifted(lanes.of_words(packed)) for packed in dealt[3:])
    return _Held(m, dealt[0], dealt[1], dealt[2], low, rho, beta_rho)


def _chosen_half(chosen: RingArray, held: _Held, mask: RingArray, *, first: bool) -> RingArray:
    """This opener's summand of b v, minus the mask; ``chosen`` is b_2 as zeros or all ones. In blocks."""
    out = np.empty_like(mask)
    for start in range(0, len(out), _BLOCK):
        at = slice(start, start + _BLOCK)
        if_zero = held.beta[at] * held.common[at]
        if_zero += held.beta_rest[at]
        rest = held.rest[at]
        if held.low is not None and held.rho is not None and held.beta_rho is not None:
            if_zero += held.beta_rho[at] & held.low[at]
            rest = rest + (held.rho[at] & held.low[at])
        whole = rest + held.common[at] if first else rest
        flip = chosen[at]
        if_zero ^= flip
        if_zero -= flip  # negated where b_2 is 1
        if_zero += whole & flip
        np.subtract(if_zero, mask[at], out=out[at])
    return out


def _dealt(seat: Seat, secret: RingArray) -> RingArray:
    """What the dealer sends to P_2; P_1's part is keystream."""
    return secret - seat.stream(1).ring(secret.shape)


def _negative_sum(z: Share) -> RingArray:
    total: RingArray = np.negative(z.parts[0] + z.parts[1])
    return total.reshape(-1)


def _common(seat: Seat, z: Share) -> RingArray:
    """z_2 at an opener."""
    return z.parts[1 if seat.place == FIRST else 0].reshape(-1)


def _rows(planes: npt.NDArray[np.uint64], size: int) -> RingArray:
    if not len(planes):
        return np.zeros(0, dtype=np.uint64)
    return np.concatenate([kernels.unpack(plane, size) for plane in planes])


def _share(shape: tuple[int, ...], *parts: RingArray) -> Share:
    return Share(tuple(part.reshape(shape) for part in parts))
