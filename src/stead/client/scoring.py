"""How good a model is on rows that the scientist may see: own rows, or mock rows. Never on a site's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stead.plans.engine import Engine
from stead.plans.program import Program

Array = NDArray[Any]


def area_under_curve(scores: Array, labels: Array) -> float:
    """The area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Args:
        scores: shape (rows,); larger means more positive.
        labels: shape (rows,), 0 or 1.

    Returns:
        NaN when one of the classes is absent.

    References: Hanley and McNeil 1982 (the Mann-Whitney statistic).
    """
    positive = labels == 1
    many, few = int((~positive).sum()), int(positive.sum())
    if not many or not few:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((middle_rank[inverse][positive].sum() - few * (few + 1) / 2) / (few * many))


@dataclass(frozen=True)
class Scorer:
    """Scores parameters on fixed rows.

    Attributes:
        forward: the model's forward Program with inputs ``(*parameters, x)``.
        engine: what runs it.
        x: shape (rows, ...), in the Program's type.
        y: shape (rows,): class indices, or numbers for a regression.
        what: ``AUC``, ``accuracy`` or ``R²``.
        mock: the rows are made up; the score shows only that the model runs.
    """

    forward: Program
    engine: Engine
    x: Array
    y: Array
    what: str
    mock: bool

    @property
    def label(self) -> str:
        """The score's name for a table's head."""
        return f"{self.what} on mock rows" if self.mock else self.what

    def __call__(self, parameters: Sequence[Array]) -> float:
        """The score of the model with these parameters; NaN when it has none."""
        outputs = self.engine.run_per_example(self.forward, list(parameters), [self.x])[0]
        outputs = outputs.reshape(len(self.x), -1).astype(np.float64)
        if self.what == "AUC":
            margin = outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]
            return area_under_curve(np.nan_to_num(margin, nan=-np.inf), self.y)
        if self.what == "accuracy":
            return float((outputs.argmax(axis=1) == self.y).mean())
        spread = float(((self.y - self.y.mean()) ** 2).sum())
        return 1.0 - float(((self.y - outputs[:, 0]) ** 2).sum()) / spread if spread else float("nan")


def score_name(task: str, classes: int) -> str:
    """The usual score of a task: AUC for two classes, accuracy for more, R² for a regression."""
    if task == "regression":
        return "R²"
    return "AUC" if classes == 2 else "accuracy"
