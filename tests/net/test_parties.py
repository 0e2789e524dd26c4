"""``parties.toml``: what is read, and what is said about a file that is wrong."""

import pytest

from stead.core.entropy import SeededEntropy
from stead.core.keys import Key
from stead.errors import BadSignature, UsageError
from stead.net.noise import StaticKey
from stead.net.parties import Party, entry, read_parties, sign_party_key

ENTROPY = SeededEntropy(11)
NORTH, SOUTH = (
    Party(name=name, host=host, port=7301, key=StaticKey.generate(ENTROPY).public)
    for name, host in (("north", "north.example"), ("south", "::1"))
)
GOOD = entry(NORTH) + entry(SOUTH)


def test_what_is_written_is_read():
    parties = read_parties(GOOD)
    assert parties.members == (NORTH, SOUTH)
    assert parties["south"].address == "[::1]:7301"
    assert parties.place("south") == 1


def test_a_node_vouches_for_its_party():
    node = Key.generate(ENTROPY)
    vouched = Party(name="north", host="north.example", port=1, key=NORTH.key, identity=node.public.raw)
    text = entry(vouched, sign_party_key(node, "north", NORTH.key)) + entry(SOUTH)
    assert read_parties(text).members[0] == vouched
    for wrong in (sign_party_key(node, "south", NORTH.key), bytes(64)):
        with pytest.raises(BadSignature, match="line 1"):
            read_parties(entry(vouched, wrong) + entry(SOUTH))
    unsigned = text.replace("signature", "#")
    with pytest.raises(BadSignature):
        read_parties(unsigned)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[[party]]", "[party]", "not TOML|two brackets"),
        ('name = "south"', 'name = "north"', "two parties are called 'north'"),
        ('name = "south"', 'name = "the south"', r"line 5: a party's name has"),
        ('name = "south"', "", "line 5: the key 'name' is missing"),
        ('name = "south"', "name = 7", "line 5: name is a text"),
        ('name = "south"', 'name = "south"\ncolour = "red"', "line 5: there is no key 'colour'"),
        ('address = "[::1]:7301"', 'address = "::1:7301"', "line 5: an address is host:port"),
        ('address = "[::1]:7301"', 'address = "[::1]:70000"', "line 5: an address is host:port"),
        (f'key = "{SOUTH.key.hex()}"', "", "neither a key nor an identity"),
        (SOUTH.key.hex(), SOUTH.key.hex()[1:], "line 5: key has 64 hexadecimal digits"),
        (SOUTH.key.hex(), NORTH.key.hex(), "the same key"),
        (f'key = "{SOUTH.key.hex()}"', f'signature = "{"0" * 128}"', "line 5: a signature stands beside"),
        (entry(SOUTH), "", "2 to 64 parties, not 1"),
        (entry(SOUTH), 'title = "x"\n', "line 1: there is no key 'title'"),
    ],
)
def test_errors_name_the_place(old, new, words):
    with pytest.raises(UsageError, match=words):
        read_parties(GOOD.replace(old, new))


def test_other_keys_beside_the_tables_are_refused():
    with pytest.raises(UsageError, match="no key 'node'"):
        read_parties(GOOD + '[node]\nname = "x"\n')
    for value in ("7" * 5000, "[" * 5000):  # found by fuzzing: neither is an error of the TOML reader's own
        with pytest.raises(UsageError, match="no such file has"):
            read_parties(f"number = {value}")
    with pytest.raises(UsageError, match="up to 65536"):
        read_parties("#" * 70_000)


def test_an_unknown_party_is_named():
    with pytest.raises(UsageError, match="no party 'east'"):
        read_parties(GOOD)["east"]
