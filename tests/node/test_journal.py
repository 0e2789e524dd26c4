"""The journal says what happened and where, and nothing that a row may hold."""

import asyncio
import gc
import io
import json
import logging
import stat
import subprocess
import sys

import pytest

from stead.core.entropy import SystemEntropy
from stead.node.journal import ALLOWED, journal
from stead.node.services.faults import fault

CANARY = "987654.321"


@pytest.fixture
def lines():
    stream = io.StringIO()
    handler, root = journal(stream), logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


def test_a_fault_is_a_line_with_its_reference(lines):
    error = fault(SystemEntropy(), "answer", "ValueError")
    (line,) = lines()
    assert line["reference"] == error.reference
    assert (line["event"], line["doing"], line["error"]) == ("fault", "answer", "ValueError")
    assert (line["level"], line["logger"]) == ("error", "stead.node")
    assert set(line) <= ALLOWED


def own_arguments():
    logging.getLogger("stead.node").warning("a row holds %s", CANARY)


def own_extras():
    logging.getLogger("stead.node").warning("fault", extra={"row": CANARY, "port": 3})


def own_traceback():
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("stead.node").exception("fault")


def foreign_text_filled_in():
    logging.getLogger("duckdb").warning(f"could not convert {CANARY}")  # noqa: G004 - as others do


def foreign_text_filled_in_and_arguments():
    logging.getLogger("library").warning("value %s", CANARY)


def foreign_object():
    logging.getLogger("library").error(ValueError(CANARY))


def foreign_extras():
    logging.getLogger("library").error("fixed", extra={"error": CANARY, "doing": CANARY, "event": CANARY})


def foreign_traceback():
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")


def foreign_traceback_as_text():
    """What the server logs when an application does not start: its traceback as one text."""
    logging.getLogger("uvicorn.error").error(f"Traceback\n  ValueError: {CANARY}")  # noqa: G004


def forgotten_task():
    """``asyncio`` quotes the error of a task that nobody awaited."""

    async def fail():
        raise ValueError(CANARY)

    async def forget():
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(forget())
    gc.collect()


ALL = [
    own_arguments,
    own_extras,
    own_traceback,
    foreign_text_filled_in,
    foreign_text_filled_in_and_arguments,
    foreign_object,
    foreign_extras,
    foreign_traceback,
    foreign_traceback_as_text,
    forgotten_task,
]


@pytest.mark.parametrize("happens", ALL, ids=lambda happens: happens.__name__)
def test_no_value_gets_into_a_line(lines, happens, caplog):
    happens()
    assert lines(), "it was logged"
    assert CANARY not in json.dumps(lines())
    assert all(set(line) <= ALLOWED for line in lines())
    # The record itself did carry the value, or it shows nothing.
    said = "".join(logging.Formatter().format(record) + repr(vars(record)) for record in caplog.records)
    assert CANARY in said


def test_a_foreign_line_says_where_to_look(lines):
    foreign_text_filled_in()
    foreign_text_filled_in_and_arguments()
    foreign_traceback()
    first, second, third = lines()
    assert first["event"].startswith("test_journal.py:")
    assert second["event"] == "value %s"
    assert (third["error"], third["level"], third["logger"]) == ("ValueError", "error", "uvicorn.error")


def test_the_file_is_the_owners_alone_and_takes_everything(tmp_path):
    """In a process of its own, because it takes over all of a process's records."""
    path = tmp_path / "node.log"
    program = (
        "import logging, pathlib, sys; from stead.node.journal import keep_journal\n"
        "logging.basicConfig(stream=sys.stderr)\n"
        f"keep_journal(pathlib.Path({str(path)!r}))\n"
        "logging.getLogger('anybody').error('value %s', 987654.321)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert ended.stdout + ended.stderr == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["event"] == "value %s"
