"""What is fuzzed: every parser of bytes from outside, in one table.

A target is a name, a function that loads the parser (late, so that a parser whose library is absent costs nothing) and
one that gives seeds: bytes that the parser accepts. A parser may return, or raise an error of the tree; anything else
that comes out of it is a find. To add one, write a row; those of witnesses stand in ``witness_targets``.
"""

import functools
import importlib
import io
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stead.core.codec import decode, encode
from stead.core.export import LeafRow, LogHead, export_lines, read_export
from stead.core.keys import Key, PublicKey
from stead.core.leaves import Leaf, ResultStored
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash, verify_consistency, verify_inclusion
from stead.core.messages import ListDatasets, Message, Receipt, SessionFrame
from stead.core.notes import Checkpoint, log_origin, open_checkpoint, sign_checkpoint, sign_note
from stead.core.receipts import verify_receipt
from stead.core.signed import DOMAIN, MemoryReplayGuard, Signed, open_envelope, seal, unseal

VECTORS = Path(__file__).parents[1] / "vectors"
ALICE = Key.from_bytes(bytes(range(32)))
NODE = Key.from_bytes(bytes(range(32, 64)))
ORIGIN = log_origin(NODE.public.raw)
NOW = 1.7e9

Parser = Callable[[bytes], object]


class Target(NamedTuple):
    """One row: ``load`` returns the parser, or None where the part of the product that holds it is not installed."""

    name: str
    load: Callable[[], Parser | None]
    seeds: Callable[[], Iterable[bytes]]


class FixedClock:
    """Always the same second."""

    def now(self) -> float:
        return NOW


class FixedEntropy:
    """Always the same bytes."""

    seeded = True

    def take(self, size_bytes: int) -> bytes:
        return bytes(range(size_bytes))


def typed(kind: object) -> Callable[[], Parser]:
    """A target of the codec: what decodes must encode to the same bytes."""

    def parse(data: bytes) -> None:
        assert encode(decode(data, kind)) == data

    return lambda: parse


def later(module: str, name: str) -> Callable[[], Parser | None]:
    """A parser of another room, by its module and its name there (``Class.method`` too)."""

    def load() -> Parser | None:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            return None
        return functools.reduce(getattr, name.split("."), found)

    return load


def golden(*folders: str) -> Callable[[], list[bytes]]:
    """Seeds from golden files."""
    return lambda: [
        bytes.fromhex(path.read_text()) for folder in folders for path in sorted((VECTORS / folder).glob("*.hex"))
    ]


def parse_sealed(data: bytes) -> None:
    """Open a message whatever its sender."""
    unseal(data, recipient=NODE, known=lambda _: True, replay=MemoryReplayGuard(FixedClock()), clock=FixedClock())


def parse_resigned(data: bytes) -> None:
    """The same with a good signature under it, as an enrolled sender could make it."""
    unsigned = data[:-64]
    parse_sealed(unsigned + ALICE.sign(DOMAIN, unsigned))


def parse_body(data: bytes) -> None:
    """The bytes as the body of a good envelope."""
    envelope = msgspec.structs.replace(open_envelope(sealed()[0]), body=data, signature=bytes(64))
    parse_resigned(encode(envelope))


def sealed() -> list[bytes]:
    """Two sealed messages."""
    return [
        seal(message, key=ALICE, recipient=NODE.public.raw, clock=FixedClock(), entropy=FixedEntropy())
        for message in (ListDatasets(project="p"), SessionFrame(release=bytes(16), frame=bytes(40)))
    ]


def parse_note(data: bytes) -> None:
    """The bytes as a note, broken UTF-8 included."""
    open_checkpoint(data.decode("utf-8", "surrogateescape"), ORIGIN, NODE.public)


def parse_signed_text(data: bytes) -> None:
    """The bytes as the text of a note that the node has signed."""
    text = data.decode("utf-8", "surrogateescape")
    open_checkpoint(sign_note(text, name=ORIGIN, key=NODE), ORIGIN, NODE.public)


def log() -> MerkleLog:
    """Eleven leaves."""
    entries = MerkleLog(MemoryNodes())
    for index in range(11):
        entries.append(leaf_hash(bytes(32), _leaf(index)))
    return entries


def _leaf(index: int) -> bytes:
    return encode(ResultStored(at=float(index), release=bytes(16), result_hash=bytes(32)))


def notes() -> list[bytes]:
    """A signed head."""
    return [sign_checkpoint(Checkpoint(origin=ORIGIN, size=11, root=log().root()), NODE).encode()]


def parse_receipt(data: bytes) -> None:
    """A receipt in msgpack."""
    verify_receipt(decode(data, Receipt), NODE.public.raw, ORIGIN)


def receipts() -> list[bytes]:
    """Receipts of the first and the last leaf."""
    return [
        encode(
            Receipt(
                leaf=_leaf(index),
                salt=bytes(32),
                index=index,
                proof=log().inclusion(index),
                checkpoint=notes()[0].decode(),
                node_key=NODE.public.raw,
            )
        )
        for index in (0, 10)
    ]


class Proof(msgspec.Struct, array_like=True):
    """The numbers and hashes of a proof of either kind: a leaf's index and hash, or the old tree's size and root."""

    first: int
    size: int
    start: bytes
    root: bytes
    proof: tuple[bytes, ...]


def parse_inclusion(data: bytes) -> None:
    """An inclusion proof in msgpack."""
    proof = decode(data, Proof)
    verify_inclusion(proof.start, proof.first, proof.size, proof.proof, proof.root)


def parse_consistency(data: bytes) -> None:
    """A consistency proof in msgpack."""
    proof = decode(data, Proof)
    verify_consistency(proof.first, proof.start, proof.size, proof.root, proof.proof)


def inclusions() -> list[bytes]:
    """The proof of leaf 3."""
    entries = log()
    return [encode(Proof(3, 11, leaf_hash(bytes(32), _leaf(3)), entries.root(), entries.inclusion(3)))]


def consistencies() -> list[bytes]:
    """The proofs from 6 and 8 leaves to 11."""
    entries = log()
    return [encode(Proof(old, 11, entries.root(old), entries.root(), entries.consistency(old))) for old in (6, 8)]


def parse_export(data: bytes) -> None:
    """The bytes as an exported log."""
    read_export(io.BytesIO(data))


def exports() -> list[bytes]:
    """A public and a full export of a log of two leaves."""
    rows = [LeafRow(index=n, hash=leaf_hash(bytes(32), _leaf(n)), salt=bytes(32), body=_leaf(n)) for n in range(2)]
    return [
        b"".join(export_lines(LogHead("north", NODE.public.raw, notes()[0].decode(), full=full), rows))
        for full in (False, True)
    ]


def identities() -> list[bytes]:
    """The identity page of a node."""
    from stead.net.certificates import make_identity

    return [make_identity("north", NODE)]


def parse_failure(data: bytes) -> None:
    """A failure from outside becomes an error of the tree, whatever it names."""
    from stead.core.failures import from_failure
    from stead.core.messages import Failure

    str(from_failure(decode(data, Failure)))


def frames() -> list[bytes]:
    """One frame of each kind of a session."""
    from stead.learn import frames as kinds

    session = bytes(32)
    hello = kinds.Hello(site=1, key=bytes(32), signature=bytes(64))
    return [
        kinds.pack(hello),
        kinds.pack(kinds.Roster(hellos=(hello, hello))),
        kinds.pack(kinds.Ready(session=session)),
        kinds.pack(kinds.Round(session=session, number=1, model_hash=bytes(32), payload=b"weights")),
        kinds.pack(kinds.Masked(session=session, number=1, vector=bytes(16))),
    ]


def headers() -> list[bytes]:
    """The header of a session of two sites."""
    from stead.learn.header import Header

    cohort = (("north", ALICE.public.raw), ("south", NODE.public.raw))
    return [
        Header(
            release=bytes(16),
            plan_hash=bytes(32),
            cohort=cohort,
            length=5,
            ring_bits=64,
            rounds=1,
            colluders=0,
            model_hash=bytes(32),
            outlet="join",
            minimum=2,
        ).to_bytes()
    ]


def plans() -> list[bytes]:
    """A query and, inside a constant of a predicate, most kinds of values."""
    from stead.plans.query import And, Clip, Compare, Count, Filter, Histogram, IsIn, IsNull, Mean, Not, Or, Query

    where = And(
        parts=(
            Or(parts=(Compare(column="age", op=">", value=40), IsIn(column="sex", values=("f", 1, 0.5, True)))),
            Not(part=IsNull(column="age")),
        )
    )
    from stead.core.schema import Bounds

    return [
        encode(
            Query(
                dataset="heart",
                steps=(Filter(where=where), Clip(column="age", bounds=Bounds(low=0, high=99))),
                group_by=("sex",),
                aggregates=(
                    Count(name="n"),
                    Mean(name="m", column="age"),
                    Histogram(name="h", column="age", edges=(0.0, 50.0, 99.0)),
                ),
                sigmas=(1.0, 2.0, 3.0),
            )
        )
    ]


def parse_question(data: bytes) -> None:
    """The bytes as a plan that a node prices before it looks at any row."""
    from stead.core.schema import Bounds, Column, Schema
    from stead.plans.plan import decode_plan
    from stead.plans.query_price import price_query

    kinds = {"age": "integer", "bp": "real", "weight": "real", "height": "real", "marker": "real"}
    numbers = [Column(name, kind, Bounds(1, 99)) for name, kind in (kinds | {"seen": "date"}).items()]
    others = (Column("sex", "category", categories=("f", "m")), Column("dead", "boolean"), Column("code", "text"))
    plan = decode_plan(data)
    if type(plan).__name__ == "Query":
        price_query(plan, Schema("p", "patient", (*numbers, *others), (1, 1000)))


def parse_released(data: bytes) -> None:
    """What a node releases, with private keys and without."""
    from stead.plans.exact import read_released
    from stead.plans.query import Count, PrivateKeys, Query

    keyed = data[:1] in (b"\x83", b"\x93")
    keys = PrivateKeys("code", 1.0, 2) if keyed else None
    read_released(Query("d", (), (), (Count("n"),), (1.0,), private_keys=keys), data)


def released() -> list[bytes]:
    """Three integers, and two private keys."""
    from stead.plans.exact import Keyed

    plain, keyed = encode(bytes(24)), Keyed(("I21", 7), bytes(16), bytes(32))
    return [plain, encode(keyed)]


def load_constants() -> Parser | None:
    """The bytes as the constants of a program."""
    check = later("stead.plans.check", "load_constants")()
    program = later("stead.plans.program", "Program")()
    if check is None or program is None:
        return None
    return lambda data: check(program(inputs=(), constants=data, steps=(), outputs=(), output_names=()))


def constants() -> list[bytes]:
    """Two tensors."""
    import numpy as np

    from stead.plans.check import save_constants

    return [save_constants([np.arange(4, dtype=np.float32).reshape(2, 2), np.arange(3, dtype=np.int64)])]


def party_keys() -> tuple[object, object, object]:
    """Two parties' keys and an ephemeral one."""
    from stead.net.noise import StaticKey

    return tuple(StaticKey.from_bytes(bytes([n]) * 32) for n in (1, 2, 3))


def handshake(pattern: str, *, initiator: bool) -> object:
    """One side of a handshake between the two parties."""
    from stead.net.noise import Handshake

    ours, theirs, ephemeral = party_keys()
    if not initiator:
        ours, theirs = theirs, ours
    known = theirs.public if pattern == "KK" else None
    return Handshake(pattern, initiator=initiator, static=ours, ephemeral=ephemeral, prologue=b"fuzz", remote=known)


def parse_first_message(data: bytes) -> None:
    """The bytes as the first message of a handshake; the rest of it is said by us."""
    handshake("KK", initiator=False).read(data)


def parse_second_message(data: bytes) -> None:
    """The bytes as the answer to our first message."""
    side = handshake("XX", initiator=True)
    side.write()
    side.read(data)


def first_messages() -> list[bytes]:
    """A first message with and without words."""
    return [handshake("KK", initiator=True).write(words) for words in (b"", b"words")]


def second_messages() -> list[bytes]:
    """An answer with and without words."""
    found = []
    for words in (b"", b"words"):
        side = handshake("XX", initiator=False)
        side.read(handshake("XX", initiator=True).write())
        found.append(side.write(words))
    return found


def preambles() -> list[bytes]:
    """What a party says first."""
    from stead.net.handshake import VERSION, Preamble

    return [Preamble(VERSION, pattern, 1, 0, bytes(32)).to_bytes() for pattern in (None, "KK", "XX")]


def parse_frames(data: bytes) -> None:
    """The bytes as frames between parties, one after the other; plain ones, so that what is in them is reached."""
    from stead.errors import BadMessage
    from stead.net.frames import Kind, PlainReader, read_header
    from stead.net.links import read_abort

    rest = memoryview(data)
    while rest:
        header = read_header(rest)
        if len(rest) < header.frame_bytes:
            raise BadMessage("the last frame is cut.")
        payload = bytearray(header.size_bytes)
        PlainReader().open_into(rest[: header.frame_bytes], header, memoryview(payload))
        if header.kind == Kind.ABORT:
            read_abort(payload)
        rest = rest[header.frame_bytes :]


def party_frames() -> list[bytes]:
    """One frame of each kind."""
    from stead.net.frames import Kind, PlainWriter
    from stead.net.links import Abort

    writer, words = PlainWriter(), encode(Abort("party-timed-out", "south was silent for 30 s."))
    data, abort = bytes(writer.pack(Kind.DATA, b"shares", 6)), bytes(writer.pack(Kind.ABORT, words, len(words)))
    return [data, abort, data + bytes(writer.pack(Kind.WAITING, b"", 0)) + bytes(writer.pack(Kind.BYE, b"", 0))]


def parse_sealed_frame(data: bytes) -> None:
    """The bytes as a sealed frame."""
    from stead.net.frames import Opener, read_header

    header = read_header(data)
    Opener(bytes(32)).open_into(memoryview(data), header, memoryview(bytearray(header.size_bytes)))


def sealed_frames() -> list[bytes]:
    """A sealed frame."""
    from stead.net.frames import Kind, Sealer

    return [bytes(Sealer(bytes(32)).pack(Kind.DATA, b"shares", 6))]


def parse_parties(data: bytes) -> None:
    """The bytes as a file of parties."""
    from stead.errors import SteadError
    from stead.net.parties import read_parties

    try:
        read_parties(data.decode("utf-8", "surrogateescape"))
    except SteadError as error:  # the words that it quotes from the file are not another answer
        raise type(error)(re.split("['\"]", error.what)[0]) from None


def party_files() -> list[bytes]:
    """Two parties that know keys, and two that are vouched for."""
    from stead.net.parties import Party, entry, sign_party_key

    ours, theirs, _ = party_keys()
    known = Party(name="north", host="north.example", port=7301, key=ours.public)
    vouched = Party(name="south", host="::1", port=7302, key=theirs.public, identity=NODE.public.raw)
    signed = entry(vouched, sign_party_key(NODE, "south", theirs.public))
    bare = f'[[party]]\nname = "east"\naddress = "10.0.0.3:7301"\nidentity = "{ALICE.public.raw.hex()}"\n'
    return [(entry(known) + signed).encode(), (bare + entry(known) + 'listen = "0.0.0.0:1"\n').encode()]


def parse_share(data: bytes) -> None:
    """The bytes as a client's share of a vector of four numbers, at the first of two aggregators."""
    from stead.mpc.party import Party
    from stead.mpc.protocols.additive.aggregation import Aggregator

    Aggregator(Party(0, ("one", "two"), None, FixedEntropy()), 4).add("client", data)


def shares() -> list[bytes]:
    """A share of each kind: a key, and the rest of four numbers."""
    from stead.mpc.protocols.additive.aggregation import HEAD, KEY, MAGIC, REST

    head = MAGIC, 64, 0, 2, 4, bytes(16)
    return [HEAD.pack(head[0], kind, *head[1:]) + bytes(32) for kind in (KEY, REST)]


def prepared() -> tuple[Any, Any]:
    """Both parties' material of a small computation."""
    prepare = importlib.import_module("stead.mpc.protocols.masked.preparation").prepare
    seeded = importlib.import_module("stead.core.entropy").SeededEntropy

    def computation(p: Any) -> None:
        x = p.share(None, (3,), 1)
        p.reveal(p.select(p.negative(x), x), [1])

    found: tuple[Any, Any] = prepare(computation, names=("a", "b", "c"), entropy=seeded(1))[1]
    return found


def materials() -> list[bytes]:
    """As files."""
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for material in prepared():
            path = Path(folder) / str(material.place)
            material.write(path)
            files.append(path.read_bytes())
    return files


def delivered(material: Any) -> bytes:
    """As sent over a channel: the header's length, the header, the body."""
    header, body = material.release()
    head = encode(header)
    return len(head).to_bytes(8, "little") + head + bytes(-len(head) % 8) + b"".join(map(bytes, body))


def parse_delivery(data: bytes) -> None:
    """Take the bytes as material that the dealer has sent to the party at place 2."""
    delivery = importlib.import_module("stead.mpc.protocols.masked.delivery")
    delivery.read(memoryview(data), ("a", "b", "c"), 2)


def joint_plans() -> list[bytes]:
    """Plans of three parties: with noise, and with a mean that is divided."""
    made = importlib.import_module("stead.plans.joint")
    query = importlib.import_module("stead.plans.query")
    parties = tuple(made.JointParty(name, bytes([number]) * 32, number < 2) for number, name in enumerate("abc"))
    count = query.Query("heart", (), (), (query.Count("n"),), (2.0,))
    mean = query.Query("heart", (), (), (query.Mean("m", "age"),), ())
    return [
        encode(made.Joint(count, made.Layout(1, (made.Kept(0, 1),)), parties, bytes(32), "answer", 1)),
        encode(made.Joint(mean, made.Layout(2, (made.Divided(0, 1, 60, 13),)), parties, bytes(32), "disclose", 0)),
    ]


def joint_frames() -> list[bytes]:
    """One frame of each kind."""
    made = importlib.import_module("stead.plans.joint_frames")
    hello = made.make_hello(ALICE, bytes(32), 0, bytes(range(32)))
    frames = (
        hello,
        made.JointRoster((hello,)),
        made.Parcels(bytes(32), 3, (made.Parcel(1, bytes(40)),)),
        made.Opening(bytes(32), bytes(8), bytes(8)),
    )
    return [made.pack_joint(frame) for frame in frames]


def sealed_pairs() -> tuple[Any, Any]:
    """Two ends of a relayed channel between parties, from keys that are always the same."""
    made = importlib.import_module("stead.node.services.relayed")
    keys = [importlib.import_module("stead.net.noise").StaticKey.from_bytes(bytes([n]) * 32) for n in (1, 2)]
    seeded = importlib.import_module("stead.core.entropy").SeededEntropy
    first = made.SealedPair(0, 1, keys[0], keys[1].public, bytes(32), seeded(1))
    second = made.SealedPair(1, 0, keys[1], keys[0].public, bytes(32), seeded(2))
    first.hear(second.hear(first.greet()))
    return first, second


def parse_parcel(data: bytes) -> None:
    """Open a parcel of 24 bytes that another party has sealed."""
    sealed_pairs()[1].open(data, 24, "north")


TARGETS: tuple[Target, ...] = (
    Target("message", typed(Message), golden("messages")),
    Target("leaf", typed(Leaf), golden("leaves")),
    Target("envelope", typed(Signed), sealed),
    Target("sealed", lambda: parse_sealed, sealed),
    Target("resigned", lambda: parse_resigned, sealed),
    Target("body", lambda: parse_body, golden("messages")),
    Target("note", lambda: parse_note, notes),
    Target("signed-text", lambda: parse_signed_text, lambda: [notes()[0].partition(b"\n\n")[0] + b"\n"]),
    Target("receipt", lambda: parse_receipt, receipts),
    Target("export", lambda: parse_export, exports),
    Target("inclusion", lambda: parse_inclusion, inclusions),
    Target("consistency", lambda: parse_consistency, consistencies),
    Target("failure", lambda: parse_failure, lambda: golden("messages")()[3:4]),
    Target("public-key", lambda: PublicKey, lambda: [ALICE.public.raw]),
    Target("identity", later("stead.net.certificates", "read_identity"), identities),
    Target("frame", later("stead.learn.frames", "unpack"), frames),
    Target("header", later("stead.learn.header", "Header.from_bytes"), headers),
    Target("plan", later("stead.plans.plan", "decode_plan"), lambda: plans() + golden("plans")()),
    Target("question", lambda: parse_question, golden("plans")),
    Target("released", lambda: parse_released, released),
    Target("constants", load_constants, constants),
    Target("handshake-first", lambda: parse_first_message, first_messages),
    Target("handshake-second", lambda: parse_second_message, second_messages),
    Target("preamble", later("stead.net.handshake", "read_preamble"), preambles),
    Target("party-frames", lambda: parse_frames, party_frames),
    Target("sealed-frame", lambda: parse_sealed_frame, sealed_frames),
    Target("parties", lambda: parse_parties, party_files),
    Target("share", lambda: parse_share, shares),
    Target("masked-material", later("stead.mpc.protocols.masked.material", "parse"), materials),
    Target("delivery", lambda: parse_delivery, lambda: [delivered(prepared()[1])]),
    Target("joint-plan", later("stead.plans.plan", "decode_plan"), joint_plans),
    Target("joint-frame", later("stead.plans.joint_frames", "unpack_joint"), joint_frames),
    Target("parcel", lambda: parse_parcel, lambda: [sealed_pairs()[0].seal([memoryview(bytes(24))])]),
)
