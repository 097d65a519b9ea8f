"""Plain arrays on disk that are mapped into memory instead of read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.errors import DataFault
from mineralseg.io.files import replacement, writing


@contextmanager
def create_array(path: Path, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    """Give a writable uint8 array that becomes `path` (.npy) when the block ends without an error."""
    with replacement(path) as temporary, writing(path):
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        yield array
        array.flush()


def open_array(path: Path) -> NDArray[np.uint8]:
    """Return the uint8 array in a .npy file, mapped read-only."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise DataFault(
            path, found=f"not a readable array ({error})", fix="delete it, it is made again"
        ) from None
    if array.dtype != np.uint8:
        raise DataFault(
            path, found=f"{array.dtype} values", expected="uint8", fix="delete it, it is made again"
        )
    return array
