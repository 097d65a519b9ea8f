"""The minerals of a project: the only bridge between codes on disk, class indices, colours and names."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.errors import DataFault

IGNORE = 255
"""Class index and code on disk of a pixel that has no label: void in every count, loss and score."""

_STRIP_ROWS = 512
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def histogram(codes_HW: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many pixels have each value 0..255, counted in strips so that memory stays flat."""
    counts = np.zeros(256, np.int64)
    for row in range(0, len(codes_HW), _STRIP_ROWS):
        counts += np.bincount(codes_HW[row : row + _STRIP_ROWS].ravel(), minlength=256)
    return counts


@dataclass(frozen=True)
class Mineral:
    """One class: `code` as written in masks (0..254), name, colour `#rrggbb`, density in g/cm3 if known."""

    code: int
    name: str
    color: str
    density_g_cm3: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.code < IGNORE:
            raise DataFault(
                f"legend class {self.name!r}", found=f"code {self.code}", expected="a code from 0 to 254"
            )
        if not self.name.strip():
            raise DataFault(f"legend class {self.code}", found="an empty name", expected="a mineral's name")
        if not _HEX.fullmatch(self.color):
            raise DataFault(
                f"legend class {self.name!r}",
                found=f"colour {self.color!r}",
                expected="a colour like #78b4ff",
            )
        if self.density_g_cm3 is not None and not 0 < self.density_g_cm3 < 30:
            raise DataFault(
                f"legend class {self.name!r}",
                found=f"density {self.density_g_cm3} g/cm3",
                expected="a density between 0 and 30 g/cm3, or none",
            )

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0..255."""
        value = int(self.color[1:], 16)
        return value >> 16, value >> 8 & 0xFF, value & 0xFF


@dataclass(frozen=True)
class Legend:
    """The classes in order; a class's index is its place here, its code is what masks on disk say.

    Laws: `decode(encode(indices)) == indices`; an unknown code raises, it never becomes background.
    """

    minerals: tuple[Mineral, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.minerals) <= 200:
            raise DataFault("legend", found=f"{len(self.minerals)} classes", expected="2 to 200 classes")
        for what, values in (
            ("code", [str(m.code) for m in self.minerals]),
            ("name", [m.name.casefold() for m in self.minerals]),
            ("colour", [m.color.lower() for m in self.minerals]),
        ):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                raise DataFault(
                    "legend", found=f"{what} {', '.join(twice)} used twice", expected=f"one class a {what}"
                )

    @classmethod
    def of(cls, minerals: Iterable[Mineral]) -> "Legend":
        """Return the legend of `minerals`, ordered by code."""
        return cls(tuple(sorted(minerals, key=lambda mineral: mineral.code)))

    def __len__(self) -> int:
        return len(self.minerals)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        return tuple(mineral.name for mineral in self.minerals)

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes on disk by index."""
        return tuple(mineral.code for mineral in self.minerals)

    def decode(self, codes_HW: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return class indices (uint8, `IGNORE` kept) of a mask of codes on disk.

        Raises:
            DataFault: a code is in the mask but not in the legend.
        """
        present, counts = np.unique(codes_HW, return_counts=True)
        unknown = [
            f"{code} ({count} px)"
            for code, count in zip(present.tolist(), counts.tolist(), strict=True)
            if code != IGNORE and code not in self.codes
        ]
        if unknown:
            raise DataFault(
                "mask",
                found=f"codes that are not in the legend: {', '.join(unknown[:10])}",
                expected=f"{', '.join(map(str, self.codes))} or {IGNORE} (ignore)",
                fix="add the class to legend.yaml or correct the mask",
            )
        table = np.full(256, IGNORE, np.uint8)
        table[list(self.codes)] = np.arange(len(self), dtype=np.uint8)
        indices_HW: NDArray[np.uint8] = table[codes_HW]
        return indices_HW

    def encode(self, indices_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return codes on disk (uint8, `IGNORE` kept) of class indices."""
        table = np.full(256, IGNORE, np.uint8)
        table[: len(self)] = self.codes
        return table[indices_HW]

    def palette(self) -> dict[int, tuple[int, int, int]]:
        """Return colours by code on disk, `IGNORE` in black."""
        return {m.code: m.rgb for m in self.minerals} | {IGNORE: (0, 0, 0)}

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the legend as plain rows, the form of legend.yaml and of a bundle."""
        return [
            {"code": m.code, "name": m.name, "color": m.color.lower()}
            | ({} if m.density_g_cm3 is None else {"density_g_cm3": m.density_g_cm3})
            for m in self.minerals
        ]
