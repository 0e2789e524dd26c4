"""``rehearse``: a training's session on mock rows, in this process: the same plan, header and frames, no message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from stead.client.dataset import RemoteDataset
from stead.client.receipt import Receipt
from stead.client.sessions import HeaderFor, RunChannel, SessionTerms
from stead.core.messages import Quote, Waiting
from stead.core.schema import Schema
from stead.errors import SteadError, UsageError
from stead.learn.gradients import Examples
from stead.learn.header import Header, admit
from stead.learn.secure_sum import Participant, Seat
from stead.learn.simulation import LocalChannel, local_session
from stead.learn.site import TrainingSite
from stead.plans.engine import NumpyEngine
from stead.plans.features import encode_rows
from stead.plans.mock import mock_rows
from stead.plans.plan import decode_plan, plan_hash
from stead.plans.price import price
from stead.plans.training import Training

MOST_ROWS: Final = 500


class MockChannel:
    """A ``RunChannel`` to sites that hold mock rows, in this process: nobody is asked, nothing is charged.

    Args:
        local: the sites.

    Cost: each exchange computes at one site after another.

    Security: none is needed; the rows are made from public facts.
    """

    def __init__(self, local: LocalChannel) -> None:
        self._local = local
        self.waiting: Mapping[str, Waiting] = MappingProxyType({})
        self.opened: Mapping[str, Receipt] = MappingProxyType({})
        self.receipts: tuple[Receipt, ...] = ()
        self.doubts: tuple[SteadError, ...] = ()
        self.size_bytes = 0

    @property
    def peers(self) -> tuple[str, ...]:
        """The sites' names, in order."""
        return self._local.peers

    def prepare(self) -> Mapping[str, Waiting]:
        """Nobody has to decide."""
        return self.waiting

    def wait(self, timeout_s: float, *, pause_s: float = 2.0) -> bool:
        """All take part at once."""
        return True

    def open(self, header: bytes) -> dict[str, bytes]:
        """Make every site's participant; returns their first frames."""
        self.size_bytes += len(header) * len(self.peers)
        return self._local.open(header)

    def exchange(self, outgoing: dict[str, bytes]) -> dict[str, bytes]:
        """Hand each named site its frame; returns their replies."""
        replies = self._local.exchange(outgoing)
        self.size_bytes += sum(map(len, outgoing.values())) + sum(map(len, replies.values()))
        return replies

    def close(self, reason: str) -> None:
        """End the session."""
        self._local.close(reason)


def rehearse(
    sites: Sequence[RemoteDataset], terms: SessionTerms, header_for: HeaderFor
) -> tuple[Header, RunChannel, Mapping[str, Quote]]:
    """The session of a training on the sites' mock twins. What a node checks of a plan and header is checked here too.

    Args:
        sites: the datasets; only their public schemas are used, as last fetched.
        terms: what the sites would be asked to take part in.
        header_for: the header, given the cohort; here each site has a fresh identity.

    Returns:
        The header, the channel, and no quotes.

    Raises:
        SteadError: what a node would refuse the plan or the header with.
    """
    training = decode_plan(terms.plan)
    if not isinstance(training, Training):
        raise UsageError("only a training is rehearsed in a session; a question has .on_mock().")
    made = {dataset.source.site.name: _participant(dataset.schema, training, terms) for dataset in sites}
    entropy = sites[0].source.site.scientist.entropy
    header, local = local_session(made, header_for, entropy=entropy)
    for dataset in sites:
        price(training, dataset.schema, sites=len(sites), colluders=header.colluders)
    return header, MockChannel(local), {}


def mock_examples(training: Training, schema: Schema) -> Examples:
    """A mock site's rows as tensors: as many as the people whom the schema declares at least, and no more than 500."""
    columns = mock_rows(schema, min(schema.people[0], MOST_ROWS))
    x, y = encode_rows(training.encoding, schema, columns)
    if schema.person is None:
        return Examples(x=x, y=y, person=np.arange(len(x)))
    _, person = np.unique(columns[schema.person], return_inverse=True)
    return Examples(x=x, y=y, person=person.astype(np.int64))


def _participant(schema: Schema, training: Training, terms: SessionTerms) -> Callable[[Seat], Participant]:
    def make(seat: Seat) -> Participant:
        admit(
            seat.header.to_bytes(),
            own_key=seat.key.public.raw,
            release=terms.release,
            plan_hash=plan_hash(terms.plan),
            outlet=terms.outlet,
            enrolled=lambda _: True,
        )
        return TrainingSite(
            seat,
            training,
            engine=NumpyEngine(),
            examples=mock_examples(training, schema),
            rows_at_most=schema.people[1] * schema.rows_per_person,
        )

    return make
