"""Arrow IPC files and streams, through pyarrow (the extra ``arrow``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stead.errors import MissingExtra, UsageError

_FILE_MAGIC = b"ARROW1"


def open_ipc(path: Path) -> Any:
    """A reader of the record batches of an Arrow IPC file or stream; it can be read once.

    Raises:
        MissingExtra: pyarrow is not installed.
        UsageError: the file is no Arrow IPC file.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtra("reading Arrow files needs pyarrow.", hint='pip install "stead[arrow]"') from None
    source = pa.memory_map(str(path))
    try:
        if source.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
            file = pa.ipc.open_file(source)
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
            return pa.RecordBatchReader.from_batches(file.schema, batches)
        source.seek(0)
        return pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        raise UsageError(f"{path.name!r} is no Arrow IPC file.") from None
