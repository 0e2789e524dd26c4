"""Three steads that compute on shares, for tests: parties alone in this process, and whole nodes with a scientist."""

import numpy as np

import stead.testing
from stead.core.entropy import SeededEntropy
from stead.core.keys import Key
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.node.services.joint_site import JointSeat, JointSite, JointTerms
from stead.node.services.joint_work import joint_cost
from stead.plans.joint import Joint, JointParty, Kept, Layout, layout, recombine
from stead.plans.joint_frames import (
    JointRoster,
    Opening,
    Parcel,
    Parcels,
    pack_joint,
    read_opening,
    session_digest,
    unpack_joint,
)
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.query import Count, Query

NAMES = ("north", "south", "east")
SIZES = {"north": 130, "south": 210}
RECEIVER = Key.from_bytes(b"r" * 32).public.raw
COLUMNS = (
    Column("age", "integer", bounds=Bounds(0, 120)),
    Column("pressure", "real", bounds=Bounds(60, 220)),
    Column("sex", "category", categories=("F", "M", "X")),
)


def schema(at="north", people=(100, 500)):
    return Schema(f"patients of {at}", "patient", COLUMNS, people)


def rows(at, size=None):
    """Made-up patients; nobody is of the third category."""
    chance = np.random.default_rng([11, *at.encode()])
    size = SIZES[at] if size is None else size
    return {
        "age": chance.integers(20, 96, size).tolist(),
        "pressure": chance.uniform(60, 220, size).round(1).tolist(),
        "sex": chance.choice(["F", "M"], size).tolist(),
    }


def network(rules=None, *, seed=5, clock=None):
    """Two hospitals and a third node that holds no data; the scientist is enrolled at all of them."""
    made = stead.testing.local_network(NAMES, rules=rules or stead.testing.OPEN_RULES, seed=seed, clock=clock)
    for name in SIZES:
        made.add(DatasetCard("heart", schema(name)), rows(name), at=name)
    return made


KEYS = tuple(Key.from_bytes(bytes([number]) * 32) for number in (1, 2, 3))


def plan(query=None, opening="answer", *, owners=(0, 1), colluders=None, entered=0, keys=KEYS, receiver=RECEIVER):
    """A plan of three parties; ``entered`` makes one of so many integers, whatever its query says."""
    query = query or Query("heart", (), (), (Count("n"),), (2.0,) if opening == "answer" else ())
    shape = Layout(entered, (Kept(0, entered),)) if entered else layout(query, schema(), opening)
    named = enumerate(zip(NAMES, keys, strict=True))
    parties = tuple(JointParty(name, key.public.raw, place in owners) for place, (name, key) in named)
    if colluders is None:
        colluders = 1 if opening == "answer" else 0
    return Joint(query, shape, parties, receiver, opening, colluders)


class Parties:
    """Three parties in this process and the relay between them, which a test may look at or change.

    ``tamper(step, from_place, to_place, sealed)`` returns what is carried; ``None`` carries nothing.
    """

    def __init__(self, joint, inputs, *, release=b"r" * 16, seed=1, tamper=None):
        self.joint, self.tamper = joint, tamper or (lambda *carried: carried[-1])
        self.session = session_digest(release, plan_hash(encode_plan(joint)))
        cost = joint_cost(joint)
        self.sites = [
            JointSite(
                JointSeat(JointTerms(joint, place, cost), self.session, key, SeededEntropy(100 * seed + place)),
                None if inputs.get(place) is None else np.asarray(inputs[place], dtype=np.int64),
            )
            for place, key in enumerate(KEYS)
        ]
        self.cost = cost
        self.carried = []  # (step, from, to, sealed)
        self.seen = {place: [] for place in range(3)}  # plaintext messages that a party has opened
        self.openings = {}

    def watch(self):
        """Keep what each party gets to read, from when the channels stand."""
        for place, site in enumerate(self.sites):
            for pair in site._pairs.values():
                pair.open = self._recording(place, pair.open)

    def _recording(self, place, inner):
        def read(sealed, expected_bytes, peer):
            message = inner(sealed, expected_bytes, peer)
            self.seen[place].append(bytes(message))
            return message

        return read

    def run(self):
        """All steps; returns the opened integers."""
        roster = pack_joint(JointRoster(tuple(unpack_joint(site.hello()) for site in self.sites)))
        replies = {place: unpack_joint(site.on_frame(roster)) for place, site in enumerate(self.sites)}
        self.watch()
        step = 0
        while len(self.openings) < 3:
            step += 1
            assert step < self.cost.rounds + 8
            boxes = {place: [] for place in range(3)}
            for source, reply in replies.items():
                for item in reply.items if isinstance(reply, Parcels) else ():
                    sealed = self.tamper(step, source, item.place, item.sealed)
                    self.carried.append((step, source, item.place, item.sealed))
                    if sealed is not None:
                        boxes[item.place].append(Parcel(source, sealed))
            replies = {}
            for place, site in enumerate(self.sites):
                if place not in self.openings:
                    frame = pack_joint(Parcels(self.session, step, tuple(boxes[place])))
                    replies[place] = unpack_joint(site.on_frame(frame))
                    if isinstance(replies[place], Opening):
                        self.openings[place] = replies[place]
        length = self.joint.layout.opened
        sent = [read_opening(self.openings[place], length, NAMES[place]) for place in range(3)]
        return recombine(sent, NAMES)

    def close(self):
        for site in self.sites:
            site.close()
