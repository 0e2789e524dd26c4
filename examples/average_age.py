"""The average age of two hospitals' patients, of which neither sees the other's. A third stead helps and owns no data.

    python examples/average_age.py

Three steads run in this process; over a network, `stead.connect("https://...")` takes the place of `network["north"]`.
"""

from typing import Any

import stead
import stead.testing
from stead.core.schema import Bounds, Column, DatasetCard, Schema


def card(hospital: str) -> DatasetCard:
    """What everybody may know of a hospital's table; its rows are known to the hospital alone."""
    age = Column("age", "integer", Bounds(0, 120))
    return DatasetCard("heart", Schema(f"patients of {hospital}", "patient", (age,), people=(100, 1000)))


def main() -> tuple[Any, Any]:
    """Compute it with noise, and exactly."""
    with stead.testing.local_network(["north", "south", "east"]) as network:
        network.add(card("north"), {"age": [40 + n % 41 for n in range(300)]}, at="north")
        network.add(card("south"), {"age": [55 + n % 31 for n in range(500)]}, at="south")

        heart, other = network.datasets("heart")
        age = heart.age.mean()

        # With differential privacy: each hospital adds noise to its own numbers before it splits them into shares.
        private = stead.compute(age, [heart, other], helper=network["east"], why="average age, with noise")
        print(private)

        # Exactly, where both hospitals' rules allow that: the quotient alone is opened, to this scientist alone.
        exact = stead.compute(age, [heart, other], helper=network["east"], disclose=True, why="average age, agreed")
        print(exact)
        return private, exact


if __name__ == "__main__":
    main()
