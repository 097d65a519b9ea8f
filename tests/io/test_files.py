import errno
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.errors import Busy, ConfigurationError, DataFault, EnvironmentFault
from mineralseg.io.files import (
    hold_lock,
    open_regular,
    printable,
    read_json,
    read_text,
    replacement,
    scratch_folder,
    sha256_file,
    sweep,
    write_atomic,
    write_json,
    write_text,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Reading


@given(data=st.binary(max_size=3000))
def test_sha256_is_that_of_the_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hash.bin"
    path.write_bytes(data)
    assert sha256_file(path) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("read", [sha256_file, read_text, read_json])
def test_only_regular_files_are_read(tmp_path: Path, read: Any) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "socket"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    words = {
        "folder": "a regular file", "pipe": "a regular file", "socket": "a regular file",
        "loop": "symbolic links", "broken": "no such file", "nothing": "no such file",
    }  # fmt: skip
    for name, says in words.items():
        started = time.monotonic()
        with pytest.raises(DataFault, match=rf"{name}.*{says}"):
            read(tmp_path / name)
        assert time.monotonic() - started < 0.5


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"x"


def test_a_machine_out_of_handles_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x")
    monkeypatch.setattr(os, "open", _fail_at(1, errno.EMFILE, os.open))
    with pytest.raises(EnvironmentFault, match="x: cannot be read"):
        sha256_file(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "JSON"),
        (b'{"a": 1', "JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[" * 100_000, "JSON"),
        (b"1" * 5000, "JSON"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        (b'"' + b"a" * 200_000 + b'"', "more than 150000 bytes"),
    ],
)
def test_damaged_json_names_the_file(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataFault, match=rf"x\.json: .*{says}"):
        read_json(tmp_path / "x.json", max_bytes=150_000)


def test_names_in_messages_are_one_line() -> None:
    assert printable(Path("a\nb\x1b[31m/шлиф 1.tif")) == "a\\nb\\x1b[31m/шлиф 1.tif"
    printable(Path(os.fsdecode(b"bad_\xff"))).encode("utf-8")


# Writing


@given(value=JSON_VALUES)
def test_json_written_is_read(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value
    assert path.read_bytes().endswith(b"\n")


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [0.1, "кварц"]})
    write_json(tmp_path / "b", {"a": [0.1, "кварц"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "кварц" in (tmp_path / "a").read_text(encoding="utf-8")


def test_nan_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("old")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"iou": float("nan")})
    assert (tmp_path / "x.json").read_text() == "old"


@given(text=st.text())
def test_text_written_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.txt"
    write_text(path, text)
    assert read_text(path) == text


def test_write_makes_folders_and_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / ("n" * 250)
    write_atomic(path, b"x")
    assert path.read_bytes() == b"x"
    assert path.stat().st_mode & 0o777 == 0o644
    assert _names(path.parent) == [path.name]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a folder"):
        write_atomic(tmp_path, b"x")


def test_writing_through_a_link_replaces_the_link(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    write_atomic(tmp_path / "link", b"new")
    assert ((tmp_path / "cache").read_bytes(), (tmp_path / "link").read_bytes()) == (b"kept", b"new")
    assert not (tmp_path / "link").is_symlink()


def _fail_at(number: int, code: int, real: Any) -> Any:
    """Return `real`, whose `number`-th call fails with an error code of the operating system."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    "operation", ["open", "fsync", "close", "replace", "chmod", "mkstemp", "mkdir", "write"]
)
def test_any_operation_may_fail_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Fail the first, second, third ... call of an operation until the write succeeds."""
    holder: Any = {
        "replace": Path, "chmod": Path, "mkdir": Path, "write": Path,
        "mkstemp": tempfile,
    }.get(operation, os)  # fmt: skip
    name = "write_bytes" if operation == "write" else operation
    path = tmp_path / "x"
    for number in range(1, 20):
        path.write_bytes(b"old")
        with monkeypatch.context() as patch:
            patch.setattr(holder, name, _fail_at(number, errno.EIO, getattr(holder, name)))
            try:
                write_atomic(path, b"new")
            except EnvironmentFault as fault:
                message = str(fault)
            else:
                break
        assert message.startswith(f"{path}: cannot be written: Input/output error")
        # once the name has changed hands, a folder that cannot be flushed leaves the new content
        assert path.read_bytes() in (b"old", b"new")
        assert path.read_bytes() == b"old" or operation in {"open", "fsync", "close"}
        assert _names(tmp_path) == ["x"]
    assert 1 < number < 19, "the operation was never used, or never stopped failing"
    assert path.read_bytes() == b"new"


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomic(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit_bytes in (0, 1, 4096, 99_999):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
            with pytest.raises(EnvironmentFault, match="File too large; raise the file size limit"):
                write_atomic(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["x"]


def test_replacement_passes_the_error_of_its_block(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacement(tmp_path / "x") as temporary:
            temporary.write_bytes(b"half")
            raise OSError("mine")

    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(OSError, match="mine"):
        write_half()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert _names(tmp_path) == ["x"]


_WRITE_FOREVER = """
import sys
from pathlib import Path
from mineralseg.io.files import write_atomic
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_atomic(Path(sys.argv[1]), bytes([letter]) * 300_000)
"""


@pytest.mark.slow
def test_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomic(path, b"a" * 300_000)
    for kill in range(30):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOREVER, str(path)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.003 * kill)
            child.send_signal(signal.SIGKILL)
        data = path.read_bytes()
        assert len(data) == 300_000
        assert len(set(data)) == 1


# Locks

_HOLD = """
import sys, time
from pathlib import Path
from mineralseg.io.files import hold_lock
with hold_lock(Path(sys.argv[1]), purpose="training"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_holder_is_told_and_a_kill_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.lock"
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        try:
            with pytest.raises(
                Busy, match=rf"run\.lock: in use by process {child.pid} .*\(training\) since 20"
            ):
                hold_lock(path, purpose="mine").__enter__()
        finally:
            child.kill()
            child.wait()
    assert path.exists()
    with hold_lock(path, purpose="mine"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_lock_is_free_after_the_block_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    for _ in range(2):
        with pytest.raises(KeyError), hold_lock(path, purpose="mine"):
            raise KeyError
    with hold_lock(path, purpose="mine"), pytest.raises(Busy, match=f"process {os.getpid()}"):
        hold_lock(path, purpose="mine again").__enter__()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("note", [b"", b"not json", b"[]", b"{}", b"\xff"])
def test_holder_that_has_not_said_its_name_is_another_process(tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "run.lock"
    with hold_lock(path, purpose="mine"):
        path.write_bytes(note)
        with pytest.raises(Busy, match="in use by another process"):
            hold_lock(path, purpose="mine").__enter__()


def test_lock_that_cannot_be_made_is_no_lock_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match=r"run\.lock"):
        hold_lock(tmp_path / "file" / "run.lock", purpose="mine").__enter__()


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "kept.json", b"1")
    (tmp_path / ".tmp-abc").write_bytes(b"half")
    sweep(tmp_path)
    sweep(tmp_path / "missing")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_a_scratch_folder_lives_as_long_as_its_block(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new" / "place") as scratch:
        assert scratch.is_dir()
        assert scratch.parent == tmp_path / "new" / "place"
        (scratch / "deep").mkdir()
        (scratch / "deep" / "view.npy").write_bytes(b"1")
    assert list((tmp_path / "new" / "place").iterdir()) == []


def test_a_scratch_folder_goes_when_its_block_fails(tmp_path: Path) -> None:
    def fail(scratch: Path) -> None:
        (scratch / "view.npy").write_bytes(b"1")
        raise DataFault("view", found="not usable")

    with pytest.raises(DataFault, match="not usable"), scratch_folder(tmp_path) as scratch:
        fail(scratch)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_may_be_gone_before_its_block_ends(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as scratch:
        scratch.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_scratch_folders_of_one_place_are_apart(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as one, scratch_folder(tmp_path) as other, scratch_folder(one) as inner:
        assert len({one, other, inner}) == 3
        assert inner.parent == one
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_where_a_file_stands_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(EnvironmentFault, match="file: cannot be written"):
        scratch_folder(tmp_path / "file").__enter__()
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_scratch_folders_that_a_kill_left_are_swept_with_all_in_them(tmp_path: Path) -> None:
    block = scratch_folder(tmp_path)
    left = block.__enter__()  # and never left, as of a process that was killed
    (left / "deep").mkdir()
    (left / "deep" / "view.npy").write_bytes(b"half")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "map.tif").write_bytes(b"1")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert (tmp_path / "results" / "map.tif").read_bytes() == b"1"
    assert block.__exit__(None, None, None) is False


def test_sweeping_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "map.tif").write_bytes(b"1")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / ".tmp-link").symlink_to(tmp_path / "kept", target_is_directory=True)
    sweep(tmp_path / "place")
    assert (tmp_path / "kept" / "map.tif").read_bytes() == b"1"
