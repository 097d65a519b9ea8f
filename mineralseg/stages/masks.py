"""Masks and mineral maps read as class indices, by codes or by colours, through the project's table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import CodeMasks, ColorMasks
from mineralseg.core.class_table import ClassTable, hex_of
from mineralseg.core.legend import IGNORE, Legend
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.imaging.color_labels import ColorDecoding, decode_colors
from mineralseg.io.class_tables import read_code_table, read_color_table
from mineralseg.io.raster import RasterInfo, open_raster, probe, read_mask_codes
from mineralseg.io.tables import read_legend

_MOST_TOLD = 6
_STRIP_PX = 512
_CODES = 1 << 16


@dataclass(frozen=True)
class StrangeColor:
    """A colour that the table lacks: how much of the mask it is, where first, and the nearest known one."""

    color: str
    pixels: int
    percent: float
    first_xy: tuple[int, int]
    nearest: str
    nearest_color: str
    levels: int

    def __str__(self) -> str:
        x, y = self.first_xy
        return (
            f"{self.color} ({self.pixels:,} px, {self.percent:.2g} %, first at column {x}, row {y}; "
            f"nearest {self.nearest} {self.nearest_color}, {self.levels} levels away)"
        )


@dataclass(frozen=True)
class DecodedMask:
    """Class indices (H, W), 255 void; and what of a colour map lay between classes or in no table."""

    indices_HW: NDArray[np.uint8]
    edge_percent: float
    unmapped_percent: float
    strange: tuple[StrangeColor, ...]


class MaskReader:
    """Reads the masks of a project: knows its legend and its table."""

    def __init__(self, section: CodeMasks | ColorMasks, legend: Legend, tables: Path) -> None:
        """Read the table that `section` names, a file in the folder `tables`.

        Raises:
            ConfigurationError: it is missing or contradicts itself or the legend.
        """
        self._section, self.legend = section, legend
        self._table = _table_of(section, legend, tables)

    @classmethod
    def open(cls, section: CodeMasks | ColorMasks, *, legend_file: Path, tables: Path) -> "MaskReader":
        """Return the reader of a workspace whose legend is `legend_file`."""
        return cls(section, read_legend(legend_file), tables)

    def key(self) -> dict[str, Any]:
        """Return all that the classes of a mask depend on, beside the mask."""
        section = self._section.model_dump(mode="json", exclude={"table"})
        return {"masks": section, "table": self._table.to_rows(), "legend": self.legend.to_rows()}

    def check(self, path: Path) -> RasterInfo:
        """Return size and pixel size of a mask after decoding all of it; `DataFault` as `read`."""
        self.read(path)
        return probe(path)

    def read(self, path: Path) -> DecodedMask:
        """Return a mask as class indices.

        Raises:
            DataFault: it is not readable, holds codes that are in no table, or too many strange colours.
        """
        match self._section:
            case CodeMasks():
                return self._read_codes(path)
            case ColorMasks(tolerance=tolerance, max_unmapped_percent=most_percent):
                return self._read_colors(path, tolerance, most_percent)

    def _read_codes(self, path: Path) -> DecodedMask:
        codes_HW = read_mask_codes(path)
        class_of = np.full(_CODES, IGNORE, np.uint8)
        known = np.zeros(_CODES, np.bool_)
        known[IGNORE] = True
        for entry in self._table.entries:
            if isinstance(entry.key, int):
                class_of[entry.key], known[entry.key] = entry.index, True
        counts = np.zeros(_CODES, np.int64)
        for row in range(0, len(codes_HW), _STRIP_PX):
            counts += np.bincount(codes_HW[row : row + _STRIP_PX].ravel(), minlength=_CODES)
        unknown = [f"{code} ({counts[code]} px)" for code in np.flatnonzero(~known & (counts > 0)).tolist()]
        if unknown:
            raise DataFault(
                path,
                found=f"codes that are not in the {self._table.source}: {', '.join(unknown[:10])}",
                expected=", ".join(str(entry.key) for entry in self._table.entries[:40]),
                fix=f"add them to the {self._table.source} or correct the mask",
            )
        return DecodedMask(class_of[codes_HW], 0.0, 0.0, ())

    def _read_colors(self, path: Path, tolerance: int, most_percent: float) -> DecodedMask:
        entries = self._table.entries
        found = decode_colors(
            _read_rgb(path, lossy=tolerance > 0),
            colors=np.array([entry.key for entry in entries], np.uint8),
            classes=np.array([entry.index for entry in entries], np.uint8),
            tolerance=tolerance,
        )
        mask = self._described(found)
        if mask.unmapped_percent > most_percent:
            listed = "; ".join(map(str, mask.strange[:_MOST_TOLD]))
            more = len(mask.strange) - _MOST_TOLD
            raise DataFault(
                path,
                found=f"{mask.unmapped_percent:.2f} % in colours that are not in the {self._table.source}: "
                + listed
                + (f"; and at least {more} more" if more > 0 else ""),
                expected=f"at most {most_percent:g} % (labels.masks.max_unmapped_percent)",
                fix=f"add the colours to the {self._table.source}; "
                "or export the mask without smoothing, as PNG or TIFF; or raise labels.masks.tolerance",
            )
        return mask

    def _described(self, found: ColorDecoding) -> DecodedMask:
        entries, total = self._table.entries, found.indices_HW.size
        strange = []
        for each in found.unmapped:
            nearest = entries[each.nearest]
            color = hex_of(nearest.key) if isinstance(nearest.key, tuple) else ""
            strange.append(
                StrangeColor(
                    color=hex_of(each.rgb),
                    pixels=each.pixels,
                    percent=100 * each.pixels / total,
                    first_xy=each.first_xy,
                    nearest=nearest.mineral,
                    nearest_color=color,
                    levels=each.levels,
                )
            )
        return DecodedMask(
            found.indices_HW, 100 * found.edge_px / total, 100 * found.unmapped_px / total, tuple(strange)
        )


def _table_of(section: CodeMasks | ColorMasks, legend: Legend, tables: Path) -> ClassTable:
    """Return the table that a section names, or the legend's own."""
    match section:
        case CodeMasks(table=None):
            return ClassTable.codes_of(legend, source="legend")
        case ColorMasks(table=None):
            return ClassTable.colors_of(legend, source="legend")
        case CodeMasks(table=str(name)):
            return ClassTable.of(read_code_table(_inside(tables, name)), legend, source=f"table {name}")
        case ColorMasks(table=str(name)):
            return ClassTable.of(read_color_table(_inside(tables, name)), legend, source=f"table {name}")
        case _:
            raise ValueError(section)


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            "labels.masks.table", found=name, expected=f"a file in {folder}", fix="put it there"
        )
    return path


def _read_rgb(path: Path, *, lossy: bool) -> NDArray[np.uint8]:
    """Return a colour map (H, W, 3); a palette shows its colours, grey has three equal channels.

    Raises:
        DataFault: it is compressed with losses, and `lossy` is false.
    """
    with open_raster(path) as raster:
        if raster.lossy and not lossy:
            raise DataFault(
                path,
                found="lossy compression, which changes colours",
                expected="exact colours",
                fix="export it as PNG or TIFF; or, if there is no other copy, set labels.masks.tolerance",
            )
        pixels_HWB = raster.read_all()
    return np.ascontiguousarray(np.broadcast_to(pixels_HWB, (*pixels_HWB.shape[:2], 3)))
