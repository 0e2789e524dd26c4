"""Epsilon from below, from what a mechanism showed on two neighbouring tables.

One half of the runs chooses the event that tells the tables apart best, the other half bounds epsilon by
Clopper-Pearson intervals at 1 - 1e-6 each: an honest mechanism exceeds its claim with probability at most 2e-6 in
each direction.
"""

import math

import numpy as np
from scipy import stats

MISS = 1e-6


def lower_bound(likely, unlikely, runs, delta=0.0):
    """Epsilon at delta is above this, from how often an event happened in each world."""
    if likely == 0 or unlikely == runs:
        return 0.0
    p = stats.beta.ppf(MISS, likely, runs - likely + 1)
    q = stats.beta.ppf(1 - MISS, unlikely + 1, runs - unlikely)
    return max(0.0, math.log((p - delta) / q)) if p > delta else 0.0


def audited(present, absent, delta=0.0):
    """The best lower bound over sets of results, which are integers; the likeliest first, as many as are best."""
    values, codes = np.unique(np.concatenate([present, absent]), return_inverse=True)
    one, other = codes[: len(present)], codes[len(present) :]
    best = 0.0
    for first, second in ((one, other), (other, one)):
        chosen, against = (np.bincount(world[::2], minlength=len(values)) for world in (first, second))
        ranked = np.argsort(-(chosen + 1) / (against + 1), kind="stable")
        runs = len(first[::2])
        totals = zip(np.cumsum(chosen[ranked]).tolist(), np.cumsum(against[ranked]).tolist(), strict=True)
        scores = [lower_bound(likely, unlikely, runs, delta) for likely, unlikely in totals]
        event = ranked[: int(np.argmax(scores)) + 1]
        hits = [int(np.isin(world[1::2], event).sum()) for world in (first, second)]
        best = max(best, lower_bound(*hits, len(first[1::2]), delta))
    return best
