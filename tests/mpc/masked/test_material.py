"""Material is for one computation, one party and one run, in memory and as a file, and damage is found."""

import errno
import os
import pickle
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.core.entropy import SeededEntropy
from stead.errors import BadMessage, SteadError, UsageError
from stead.mpc.forms import MATMUL, MUL, conv2d
from stead.mpc.kernels.window import Window
from stead.mpc.party import Party
from stead.mpc.protocols.masked.material import Preprocessing, parse
from stead.mpc.protocols.masked.preparation import prepare
from stead.mpc.protocols.masked.protocol import Masked
from stead.net.local import local_mesh

NAMES = ("dealer", "north", "south")
VALUES = np.arange(-35, 35, dtype=np.int64).view(np.uint64)


def relu(protocol):
    x = protocol.share(VALUES if protocol.party.place == 1 else None, VALUES.shape, 1)
    return protocol.reveal(protocol.select(protocol.invert(protocol.negative(x)), x))


def prepared(computation=relu, seed=1):
    return prepare(computation, names=NAMES, entropy=SeededEntropy(seed))[1]


def run(material, computations=(relu, relu)):
    """Both online parties; what each returned or raised."""
    mesh, results = local_mesh(NAMES, timeout_s=10), {}

    def one(place):
        channel = mesh[NAMES[place]]
        try:
            party = Party(place, NAMES, channel, SeededEntropy(place))
            results[place] = computations[place - 1](Masked(party, material[place - 1]))
        except SteadError as error:
            results[place] = error
            channel.abort(error.what)

    threads = [threading.Thread(target=one, args=(place,)) for place in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results[1], results[2]


def assert_relu(results):
    for told in results:
        np.testing.assert_array_equal(told, np.maximum(VALUES.view(np.int64), 0).view(np.uint64))


def written(tmp_path, seed=1):
    paths = tmp_path / "north", tmp_path / "south"
    for material, path in zip(prepared(seed=seed), paths, strict=True):
        material.write(path)
    return paths


def test_a_run_from_files(tmp_path):
    paths = written(tmp_path)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in paths)
    opened = [Preprocessing.open(path) for path in paths]
    assert [material.place for material in opened] == [1, 2]
    assert {material.names for material in opened} == {NAMES}
    assert opened[0].id == opened[1].id
    assert (
        opened[0].trace
        == opened[1].trace
        == ("share 70 of 1", "negative 70 in 64", "select 70 by 0", "reveal 70 to 1 2")
    )
    assert opened[0].size_bytes == 0
    assert paths[1].stat().st_size > opened[1].size_bytes > 0
    assert_relu(run(opened))
    assert list(tmp_path.iterdir()) == []


def test_memory_is_for_one_run():
    material = prepared()
    assert_relu(run(material))
    for error in run(material):
        assert isinstance(error, UsageError)
        assert "used in a run" in str(error)


def test_what_is_written_is_not_used_too(tmp_path):
    material = prepared()[0]
    material.write(tmp_path / "north")
    with pytest.raises(UsageError, match="written to"):
        material.claim()
    with pytest.raises(UsageError, match="written to"):
        material.write(tmp_path / "again")


def test_a_file_is_written_once(tmp_path):
    (tmp_path / "north").write_bytes(b"kept")
    material = prepared()[0]
    with pytest.raises(UsageError, match="exists"):
        material.write(tmp_path / "north")
    assert (tmp_path / "north").read_bytes() == b"kept"


def test_what_could_not_be_written_is_not_used_up(tmp_path):
    material = prepared()[0]
    (tmp_path / "there").write_bytes(b"")
    with pytest.raises(UsageError, match="exists"):
        material.write(tmp_path / "there")
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        material.write(tmp_path / "missing" / "north")
    material.write(tmp_path / "north")
    assert Preprocessing.open(tmp_path / "north").id == material.id


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    material = prepared()[1]

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("stead.mpc.protocols.masked.material.os.fsync", full)
    with pytest.raises(UsageError, match="cannot be written: No space"):
        material.write(tmp_path / "south")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="was written to"):
        material.claim()


def test_a_file_is_not_written_once_more(tmp_path):
    _, south = written(tmp_path)
    with pytest.raises(UsageError, match="lies in"):
        Preprocessing.open(south).write(tmp_path / "again")
    assert not (tmp_path / "again").exists()
    Preprocessing.open(south).claim()


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        Preprocessing.open(tmp_path)


def test_a_file_is_for_one_run(tmp_path):
    _, south = written(tmp_path)
    first, second = Preprocessing.open(south), Preprocessing.open(south)
    first.claim()
    with pytest.raises(UsageError, match="is not there: it has been used"):
        second.claim()
    with pytest.raises(UsageError, match="is not there: it has been used"):
        Preprocessing.open(south)


def test_of_many_processes_one_gets_it(tmp_path):
    _, south = written(tmp_path)
    code = (
        "import sys\nfrom stead.errors import UsageError\n"
        "from stead.mpc.protocols.masked.material import Preprocessing\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "try:\n Preprocessing.open(sys.argv[1]).claim()\n print('got it')\nexcept UsageError:\n print('refused')\n"
    )
    command = [sys.executable, "-c", code, str(south)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert said == ["got it", "refused", "refused", "refused"]


def test_after_a_crash_it_is_gone(tmp_path, monkeypatch):
    """Killed between the renaming and the first byte: nobody can open it under its name again."""
    _, south = written(tmp_path)
    material = Preprocessing.open(south)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stead.mpc.protocols.masked.material._sync", killed)
    with pytest.raises(KeyboardInterrupt):
        material.claim()
    with pytest.raises(UsageError, match="has been used"):
        Preprocessing.open(south)


def test_other_verbs_than_prepared():
    def product(protocol):
        x = protocol.share(VALUES if protocol.party.place == 1 else None, VALUES.shape, 1)
        return protocol.product(MATMUL, x.reshape((7, 10)), x.reshape((10, 7)))

    errors = run(prepared(), (product, product))
    assert all(isinstance(error, UsageError) for error in errors)
    assert "step 2 of this run is 'product matmul 7x10 10x7 = 7x7'" in str(errors[0])
    assert "'negative 70 in 64' was prepared" in str(errors[0])


def test_other_rows_than_prepared_tell_more_than_the_result():
    """Why all must run the lines that were prepared: of x = 0 y the run opens the difference of rows of y.

    The dealer prepared c for the first rows. With x = 0 of party 1, the result is (l - l') l_x, where l and l' are the
    masks of the first and of the last rows: party 1 knows l_x, and both m.
    """
    secret, rows = np.arange(7, 15, dtype=np.uint64) ** np.uint64(5), [slice(0, 4)]

    def computation(protocol):
        place = protocol.party.place
        x = protocol.share(np.zeros(4, dtype=np.uint64) if place == 1 else None, (4,), 1)
        y = protocol.share(secret if place == 2 else None, (8,), 2)
        return x.parts[1], y.parts[0], protocol.reveal(protocol.product(MUL, x, y[rows[0]]))

    _, material = prepare(computation, names=NAMES, entropy=SeededEntropy(5))
    rows[0] = slice(4, 8)
    l_x, m_y, told = run(material, (computation, computation))[0]
    inverse = np.array([pow(int(l) | 1, -1, 1 << 64) for l in l_x], dtype=np.uint64)
    odd = l_x % np.uint64(2) == 1
    assert odd.any()
    difference = (m_y[:4] - m_y[4:]) - told * inverse
    np.testing.assert_array_equal(difference[odd], (secret[:4] - secret[4:])[odd])


def test_more_verbs_than_prepared():
    def longer(protocol):
        relu(protocol)
        return relu(protocol)

    assert all("nothing more was prepared" in str(error) for error in run(prepared(), (longer, longer)))


def test_the_windows_of_a_convolution_are_part_of_it():
    def convolution(window):
        def computation(protocol):
            x = protocol.public(np.zeros((1, 1, 8, 8), dtype=np.uint64))
            w = protocol.public(np.zeros((1, 1, 3, 3), dtype=np.uint64))
            return protocol.product(conv2d(window), x, w)

        return computation

    thin, wide = convolution(Window((1, 1), (1, 1))), convolution(Window((1, 1), (2, 2), (2, 2)))
    assert all("was prepared" in str(error) for error in run(prepared(thin), (wide, wide)))


def test_both_use_one_preparation():
    one, other = prepared(seed=1), prepared(seed=2)
    for error in run((one[0], other[1])):
        assert isinstance(error, UsageError)
        assert "not prepared together" in str(error)


def test_each_uses_its_own():
    material = prepared()
    for error in run((material[1], material[0])):
        assert "this material is for place" in str(error)
    other = Party(1, ("dealer", "north", "west"), None, SeededEntropy(0))
    with pytest.raises(UsageError, match="dealer, north, south"):
        Masked(other, prepared()[0])


def test_it_prints_redacted_and_stays_here(tmp_path):
    material = prepared()[1]
    claimed = prepared()[1].claim()
    for secret in (material, claimed):
        assert "<redacted>" in repr(secret)
        with pytest.raises(TypeError):
            pickle.dumps(secret)


@pytest.mark.parametrize("which", [0, 1])
def test_every_damaged_byte_is_found(tmp_path, which):
    data = written(tmp_path)[which].read_bytes()
    parse(data)
    positions = range(len(data)) if len(data) < 1000 else [*range(600), *range(600, len(data), 37), len(data) - 1]
    for at in positions:
        for flip in (1, 128):
            damaged = bytearray(data)
            damaged[at] ^= flip
            with pytest.raises(BadMessage):
                parse(bytes(damaged))


@pytest.mark.parametrize("which", [0, 1])
def test_every_truncation_is_found(tmp_path, which):
    path = written(tmp_path)[which]
    data = path.read_bytes()
    for size in [*range(0, len(data), 7), len(data) - 1]:
        with pytest.raises(BadMessage):
            parse(data[:size])
    with pytest.raises(BadMessage):
        parse(data + b"\0")
    path.write_bytes(data[:-9])
    with pytest.raises(BadMessage):
        Preprocessing.open(path)


def test_damage_of_the_body_is_found_before_it_is_used(tmp_path):
    _, south = written(tmp_path)
    data = bytearray(south.read_bytes())
    data[-100] ^= 1
    south.write_bytes(data)
    material = Preprocessing.open(south)
    with pytest.raises(BadMessage, match="checksum"):
        material.claim()


def test_a_file_that_was_exchanged_is_found(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    _, south = written(tmp_path / "one", seed=1)
    _, other = written(tmp_path / "two", seed=2)
    material = Preprocessing.open(south)
    other.rename(south)
    with pytest.raises(BadMessage, match="when it was opened"):
        material.claim()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [path.read_bytes() for path in written(tmp_path_factory.mktemp("whole"))]


@given(st.data())
def test_only_errors_of_the_tree_come_out(files, data):
    """Random bytes, and random splices into what is right."""
    whole = files[data.draw(st.sampled_from([0, 1]))]
    if data.draw(st.booleans()):
        forged = data.draw(st.binary(max_size=200))
        forged = whole[:24] + forged if data.draw(st.booleans()) else forged
    else:
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 40)))
        forged = whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:]
    try:
        parse(forged)
    except SteadError:
        return
    assert forged in files
