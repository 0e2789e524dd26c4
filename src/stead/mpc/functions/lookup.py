"""Looking up at secret places: a comparison with every place."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.forms import MATMUL
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits
from stead.mpc.values import Array, bilinear


def one_hot(p: Protocol, index: Secret, classes: int) -> Bits:
    """One bit for each class along a new last axis; all 0 where the index (at scale 0) is none of them.

    Cost:
        One ``zero`` for each class and index.
    """
    places = np.arange(classes, dtype=np.uint64)
    spread = index.share.map(lambda part: np.repeat(part[..., None], classes, axis=-1))
    return p.zero(p.add_public(spread, np.negative(places)))


def embedding(p: Protocol, index: Secret | Array, table: Secret | Array) -> Secret:
    """Rows of a table (V, D); exact, at the table's scale. A secret index that is no row gives zeros.

    Args:
        p: the protocol.
        index: whole numbers at scale 0, any shape; a public index costs nothing.
        table: the rows; at least one of the two is secret.
    """
    if not isinstance(index, Secret):
        if not isinstance(table, Secret):
            raise TypeError("neither the index nor the table is secret.")
        return Secret(table.share.map(lambda part: part[index]), table.scale)
    chosen = Secret(p.arithmetic(one_hot(p, index, table.shape[0]))[0].reshape((-1, table.shape[0])), 0)
    rows = bilinear(p, MATMUL, chosen, table)
    return Secret(rows.share.reshape((*index.shape, table.shape[1])), rows.scale)


def gather(p: Protocol, x: Secret, index: Secret) -> Secret:
    """Of each row of x (..., n) the entry at its index (...), at scale 0; exact, 0 where there is none such."""
    at = one_hot(p, index, x.shape[-1])
    kept = p.select(at, x.share)
    return Secret(kept.map(lambda part: part.sum(axis=-1, dtype=np.uint64)), x.scale)
