from pathlib import Path

import numpy as np
import pytest

from mineralseg.errors import DataFault
from mineralseg.io.arrays import create_array, open_array


def test_what_was_written_is_mapped_read_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.npy"
    path.parent.mkdir()
    expected = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    with create_array(path, (3, 4, 5)) as array:
        array[...] = expected
        assert not path.exists()
    opened = open_array(path)
    assert isinstance(opened, np.memmap)
    assert not opened.flags.writeable
    assert np.array_equal(opened, expected)


def test_an_interrupted_array_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), create_array(tmp_path / "a.npy", (3, 4)):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def _whole(path: Path) -> bytes:
    with create_array(path, (8, 8)) as array:
        array[...] = 1
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "foreign", "zip", "missing", "float", "pickle"])
def test_an_array_that_is_damaged_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.npy"
    whole = _whole(path)
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[:-10])
        case "header":
            path.write_bytes(whole[:20] + b"\0" * 40)
        case "foreign":
            path.write_bytes(b"II*\0" + whole)
        case "zip":
            with path.open("wb") as file:
                np.savez(file, a=np.zeros(3, np.uint8))
        case "missing":
            path.unlink()
        case "float":
            np.save(path, np.zeros(3))
        case "pickle":
            np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataFault, match="delete it, it is made again"):
        open_array(path)
