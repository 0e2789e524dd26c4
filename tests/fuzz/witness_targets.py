"""What is fuzzed of cosignatures: what logs and witnesses say to each other. The table stands at the end."""

from targets import ALICE, NOW, ORIGIN, Target, log, notes

from stead.core.cosign import cosign, cosignatures, cosigned_at, other_signatures, own_note, pick_line, witness_name
from stead.core.keys import Key
from stead.core.witnessing import AddCheckpoint, read_request, write_request


def cosigned() -> list[bytes]:
    """A signed head with the lines of two witnesses."""
    head = notes()[0].decode()
    return [(head + "".join(witness_lines(head))).encode()]


def witness_lines(head: str) -> list[str]:
    """What two witnesses say of a head."""
    text = head.partition("\n\n")[0] + "\n"
    keys = ALICE, Key.from_bytes(bytes(range(64, 96)))
    return [cosign(text, name=witness_name(key.public.raw), key=key, time_s=int(NOW)) for key in keys]


def parse_cosigned(data: bytes) -> None:
    """The bytes as a head that a known witness may have signed."""
    note = data.decode("utf-8", "surrogateescape")
    cosignatures(note, [ALICE.public.raw])
    other_signatures(note, ORIGIN)
    own_note(note, ORIGIN)


def parse_answer(data: bytes) -> None:
    """The bytes as a witness's answer; what is picked out of it must verify under the head."""
    head = notes()[0].decode()
    name = witness_name(ALICE.public.raw)
    line, time_s = pick_line(head, data.decode("utf-8", "surrogateescape"), name=name, public_key=ALICE.public)
    assert cosigned_at(head + line, name=name, public_key=ALICE.public) == time_s


def parse_request(data: bytes) -> None:
    """The bytes as a request to a witness; what is read is written the same way."""
    assert write_request(read_request(data)) == data


def requests_to_witness() -> list[bytes]:
    """A first request, and one with a proof."""
    head = notes()[0].decode()
    return [write_request(AddCheckpoint(old, log().consistency(old), head)) for old in (0, 6)]


WITNESS_TARGETS: tuple[Target, ...] = (
    Target("cosigned", lambda: parse_cosigned, cosigned),
    Target("witness-answer", lambda: parse_answer, lambda: ["".join(witness_lines(notes()[0].decode())).encode()]),
    Target("witness-request", lambda: parse_request, requests_to_witness),
)
