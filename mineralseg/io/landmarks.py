"""Landmarks as a person marks them: the same places in two images."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.errors import ConfigurationError
from mineralseg.io.tables import read_csv_lines

_COLUMNS = ("moving_x", "moving_y", "fixed_x", "fixed_y")


@dataclass(frozen=True)
class Landmarks:
    """Places (n, 2) as x, y in pixels of the moving and of the fixed image, row by row the same place."""

    moving_xy: NDArray[np.float64]
    fixed_xy: NDArray[np.float64]


def read_landmarks(path: Path) -> Landmarks:
    """Return the landmarks of a CSV with the columns moving_x, moving_y, fixed_x and fixed_y.

    Raises:
        ConfigurationError: missing, no such columns, or cells that are not numbers, with their lines.
    """
    if not path.is_file():
        raise ConfigurationError(path, found="no such file", expected="a CSV of places", fix="check the name")
    rows = read_csv_lines(path)
    absent = [name for name in _COLUMNS if rows and name not in rows[0][1]]
    if absent or not rows:
        found = f"no column {', '.join(absent)}" if absent else "no landmark"
        raise ConfigurationError(
            path,
            found=found,
            expected=f"the columns {', '.join(_COLUMNS)}, a line for each place",
            fix="pixels from the top left corner, x to the right, y down",
        )
    places, faults = [], []
    for line, row in rows:
        try:
            place = [float(row[name]) for name in _COLUMNS]
        except ValueError:
            place = [math.nan]
        if all(map(math.isfinite, place)):
            places.append(place)
        else:
            faults.append(f"line {line}: {', '.join(row[name] or 'nothing' for name in _COLUMNS)}")
    if faults:
        raise ConfigurationError(path, found="; ".join(faults[:20]), expected="four numbers a line")
    table = np.array(places, np.float64)
    return Landmarks(table[:, :2], table[:, 2:])
