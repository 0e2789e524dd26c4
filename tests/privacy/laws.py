"""What each choosing mechanism is on paper: probabilities summed from definitions, the oracle for prices and samplers.

Written from the papers, without a line of stead. Noise is summed over a window beyond which lies less than 1e-15.
"""

import math
from itertools import permutations

import numpy as np


def exponential(scores, scale):
    """McSherry, Talwar 2007."""
    weights = np.exp((scores - np.max(scores)) / scale)
    return weights / weights.sum()


def permute_and_flip(scores, scale):
    """McKenna, Sheldon 2020: every order of the options, walked through."""
    passes = np.exp((np.asarray(scores, float) - np.max(scores)) / scale)
    law = np.zeros(len(scores))
    for order in permutations(range(len(scores))):
        still = 1.0
        for option in order:
            law[option] += still * passes[option]
            still *= 1 - passes[option]
    return law / math.factorial(len(scores))


def laplace_weights(scale, reach):
    z = np.arange(-reach, reach + 1)
    weights = np.exp(-np.abs(z) / scale)
    return z, weights / weights.sum()


def noisy_max(scores, scale):
    """Option r wins with value v if all earlier ones lie below v and all later ones not above it."""
    scores = np.asarray(scores)
    reach = int(40 * scale + 1)
    values = np.arange(scores.min() - reach, scores.max() + reach + 1)
    z, weights = laplace_weights(scale, reach + int(scores.max() - scores.min()) + 1)
    masses = [np.interp(values - score, z, weights) for score in scores]
    upto = [np.cumsum(mass) for mass in masses]
    law = []
    for option, mass in enumerate(masses):
        others = [
            (total - own if rival < option else total)
            for rival, (total, own) in enumerate(zip(upto, masses, strict=True))
        ]
        law.append(
            float(np.sum(mass * np.prod([other for rival, other in enumerate(others) if rival != option], axis=0)))
        )
    return np.array(law)


def sparse_vector(answers, threshold_scale, answer_scale, pattern):
    """How often answers to thresholds 0 show one pattern of above (1) and below (0); from the definition."""
    z, weights = laplace_weights(threshold_scale, int(40 * threshold_scale) + 1)
    chances = np.ones(len(z))
    for answer, above in zip(answers, pattern, strict=True):
        tail = laplace_tail(answer_scale, z - answer)
        chances = chances * (tail if above else 1 - tail)
    return float(np.sum(weights * chances))


def laplace_tail(scale, least):
    """Pr[Z >= least]."""
    r = math.exp(-1 / scale)
    least = np.asarray(least)
    right = np.exp(-np.maximum(least, 1) / scale) / (1 + r)
    left = 1 - np.exp(-np.maximum(1 - least, 1) / scale) / (1 + r)
    return np.where(least >= 1, right, left)


def gaussian_tail(sigma, least):
    z = np.arange(-int(40 * sigma) - 5, int(40 * sigma) + 6)
    weights = np.exp(-(z**2) / (2 * sigma**2))
    return float(weights[z >= least].sum() / weights.sum())


def divergence(p, q, order):
    """Rényi, nats."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    return math.log(math.fsum(np.exp(order * np.log(p) + (1 - order) * np.log(q)))) / (order - 1)


def loss(p, q):
    """The largest log-ratio in either direction."""
    return float(np.abs(np.log(p) - np.log(q)).max())


def hockey_stick(p, q, epsilon):
    """The delta at epsilon, in the worse direction."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    return max(np.maximum(p - math.exp(epsilon) * q, 0).sum(), np.maximum(q - math.exp(epsilon) * p, 0).sum())


def selection(people, epsilon, delta):
    """Desfontaines, Voss, Gipson, Mandayam 2022, in closed form."""
    e = math.exp(epsilon)
    n1 = 1 + math.floor(math.log((e + 2 * delta - 1) / (delta * (e + 1))) / epsilon)
    first = (math.exp(n1 * epsilon) - 1) / (e - 1) * delta
    n2 = n1 + math.floor(math.log(1 + (e - 1) / delta * (1 - first)) / epsilon)
    if people <= n1:
        return (math.exp(people * epsilon) - 1) / (e - 1) * delta
    if people <= n2:
        m = people - n1
        return (1 - math.exp(-m * epsilon)) * (1 + delta / (e - 1)) + math.exp(-m * epsilon) * first
    return 1.0
