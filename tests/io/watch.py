"""Which files of a folder a block opens, whoever opens them: Python or a C library (Linux inotify)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_OPEN, _IN_NONBLOCK = 0x20, 0o4000
_EVENT = struct.Struct("iIII")


@contextmanager
def opened_files(folder: Path) -> Iterator[set[str]]:
    """Yield a set that holds, after the block, the names of the files of `folder` opened inside it."""
    libc = ctypes.CDLL(None, use_errno=True)
    watcher = libc.inotify_init1(_IN_NONBLOCK)
    if watcher < 0 or libc.inotify_add_watch(watcher, os.fsencode(folder), _IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    names: set[str] = set()
    try:
        yield names
        while True:
            try:
                events = os.read(watcher, 65536)
            except BlockingIOError:
                break
            while events:
                _, _, _, length = _EVENT.unpack_from(events)
                name = os.fsdecode(events[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
                names |= {name} if name else set()  # the folder itself has no name
                events = events[_EVENT.size + length :]
    finally:
        os.close(watcher)
