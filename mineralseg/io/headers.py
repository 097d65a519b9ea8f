"""What an image file says of itself in its first bytes, read before a decoder is trusted with it.

GDAL hides the orientation of a TIFF and a PNG, shows blocks that were never written as zeros and
finds a cut file only when it reaches the cut; so these few tags are read here.

References:
    TIFF revision 6.0, Adobe, 1992, sections 2 and 8; BigTIFF as in libtiff 4.
    Portable Network Graphics, 3rd edition, W3C, 2025, sections 5 and 11.
    Graphics Interchange Format, version 89a, CompuServe, 1990, sections 17 to 27.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Driver = Literal["GTiff", "PNG", "JPEG", "BMP", "GIF"]

PIXEL_SIZE_TAG = "PIXEL_SIZE_UM"
"""Metadata item of our own rasters: exact where the fractions of TIFF round, and good for any size."""

MAX_DIRECTORIES = 64
"""Most pages and overviews that are looked at in one TIFF."""

MAX_GIF_PIXELS = 2**27
"""Largest GIF: its decoder unpacks the whole image when it opens it."""

_MAX_TAG_BYTES = 2**26
_MAX_CHUNK_BYTES = 2**31
_PIECE_BYTES = 2**20
_TIFF_DTYPES = {1: "u1", 3: "u2", 4: "u4", 5: "u4", 13: "u4", 16: "u8", 18: "u8"}
_RATIONAL = 5
_REDUCED_OR_MASK = 0b101
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}
_UM_RANGE = (0.005, 100.0)
_UM_STATED = (1e-4, 1e4)
_PRINT_DPI = (300.0, 350.0, 360.0, 400.0, 600.0)
"""What programs write when they know no pixel size: 300 would read as 84.7 um; 72 and 96 lie outside."""


class HeaderError(Exception):
    """What is wrong with a header; the reader, which knows the file's name, makes a `DataFault` of it."""


@dataclass(frozen=True)
class Header:
    """The format of an image (a GDAL driver) and what GDAL does not tell about it.

    `photometric` is TIFF's colour model (0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK,
    6 YCbCr), `orientation` is 1 when rows run as stored, `pixel_size_um` is None when no tag says a
    size that a microscope can have.
    """

    driver: Driver
    pages: int = 1
    orientation: int = 1
    photometric: int | None = None
    compression: int | None = None
    pixel_size_um: float | None = None


_MAGIC: tuple[tuple[bytes, Driver], ...] = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)


def sniff(first_bytes: bytes) -> Driver | None:
    """Return the format that the first bytes of a file belong to, whatever its name; None for others."""
    return next((driver for magic, driver in _MAGIC if first_bytes.startswith(magic)), None)


def read_header(file: BufferedReader, driver: Driver) -> Header:
    """Return the header of an open file of the format that `sniff` found.

    Raises:
        HeaderError: the header is cut, contradicts itself or points outside the file.
    """
    if driver == "GTiff":
        return _read_tiff(file)
    if driver == "PNG":
        return _read_png(file)
    if driver == "GIF":
        return _read_gif(file)
    return Header(driver)


def pixel_size_of_tag(tags: Mapping[str, str]) -> float | None:
    """Return the micrometres per pixel that a raster of our own states, None when it does not."""
    try:
        um = float(tags[PIXEL_SIZE_TAG])
    except (KeyError, ValueError):
        return None
    return um if _UM_STATED[0] <= um <= _UM_STATED[1] else None


# TIFF: a chain of directories of tags


@dataclass(frozen=True)
class _Tags:
    """One directory of a TIFF: its entries and the file that holds their values."""

    file: BufferedReader
    order: str
    entries: dict[int, Any]

    def values(self, tag: int) -> NDArray[np.uint64]:
        """Return the values of a tag (numerator and denominator of a rational one), none when absent."""
        entry = self.entries.get(tag)
        if entry is None or int(entry["type"]) not in _TIFF_DTYPES:
            return np.zeros(0, np.uint64)
        kind, count, inline = int(entry["type"]), int(entry["count"]), entry["value"].tobytes()
        dtype = np.dtype(self.order + _TIFF_DTYPES[kind])
        size = count * dtype.itemsize * (2 if kind == _RATIONAL else 1)
        if size > _MAX_TAG_BYTES:
            raise HeaderError(f"tag {tag} claims {count} values")
        if size <= len(inline):
            data = inline[:size]
        else:
            data = _read_at(self.file, int(np.frombuffer(inline, f"{self.order}u{len(inline)}")[0]), size)
        return np.frombuffer(data, dtype).astype(np.uint64)

    def first(self, tag: int, absent: int) -> int:
        """Return the first value of a tag."""
        values = self.values(tag)
        return int(values[0]) if values.size else absent


def _read_tiff(file: BufferedReader) -> Header:
    directories = list(_directories(file))
    for tags in directories:
        _check_blocks(tags)
    pages = [tags for tags in directories if not tags.first(254, 0) & _REDUCED_OR_MASK]
    if not pages:
        raise HeaderError("no image in it")
    return Header(
        "GTiff",
        pages=len(pages),
        orientation=pages[0].first(274, 1),
        photometric=pages[0].first(262, 1),
        compression=pages[0].first(259, 1),
        pixel_size_um=_tiff_pixel_size_um(pages[0]),
    )


def _directories(file: BufferedReader) -> Iterator[_Tags]:
    """Yield the directories of a TIFF in the order of their chain."""
    head = _read_at(file, 0, 16, at_least=8)
    order = "<" if head[:1] == b"I" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    word, counter = ("u8", "u8") if big else ("u4", "u2")
    if big and len(head) < 16:
        raise HeaderError("header of less than 16 bytes")
    offset = int(np.frombuffer(head[8:] if big else head[4:8], order + word)[0])
    entry = np.dtype(
        [("tag", order + "u2"), ("type", order + "u2"), ("count", order + word), ("value", f"V{word[1]}")]
    )
    seen: set[int] = set()
    while offset and len(seen) < MAX_DIRECTORIES:
        if offset in seen:
            raise HeaderError("its directories run in a circle")
        seen.add(offset)
        size = np.dtype(counter).itemsize
        count = int(np.frombuffer(_read_at(file, offset, size), order + counter)[0])
        if count > 4096:
            raise HeaderError(f"a directory of {count} tags")
        table = np.frombuffer(_read_at(file, offset + size, count * entry.itemsize), entry)
        yield _Tags(file, order, {int(row["tag"]): row for row in table})
        end = offset + size + count * entry.itemsize
        offset = int(np.frombuffer(_read_at(file, end, int(word[1])), order + word)[0])


def _check_blocks(tags: _Tags) -> None:
    """Raise when strips or tiles were never written or lie behind the end of the file."""
    tiled = 324 in tags.entries
    offsets, sizes = tags.values(324 if tiled else 273), tags.values(325 if tiled else 279)
    if not sizes.size or offsets.size != sizes.size:
        return  # one strip may leave out its size; GDAL judges the rest
    end = os.fstat(tags.file.fileno()).st_size
    empty = int(np.count_nonzero((offsets == 0) | (sizes == 0)))
    cut = int(np.count_nonzero(offsets.astype(np.float64) + sizes.astype(np.float64) > end))
    if empty:
        raise HeaderError(f"{empty} of {sizes.size} blocks of pixels were never written")
    if cut:
        raise HeaderError(f"cut short: {cut} of {sizes.size} blocks of pixels lie behind the end of the file")


def _tiff_pixel_size_um(tags: _Tags) -> float | None:
    """Return micrometres per pixel when both resolutions agree on a size that a microscope can have."""
    across, down = tags.values(282), tags.values(283)
    unit_um = _UM_PER_UNIT.get(tags.first(296, 2))
    if unit_um is None or across.size != 2 or down.size != 2 or not across.all() or not down.all():
        return None
    across_um = unit_um * float(across[1]) / float(across[0])
    down_um = unit_um * float(down[1]) / float(down[0])
    if abs(across_um - down_um) > 0.005 * across_um or not _UM_RANGE[0] <= across_um <= _UM_RANGE[1]:
        return None
    if any(abs(25_400.0 / across_um - dpi) < 0.5 for dpi in _PRINT_DPI):
        return None
    return float(f"{across_um:.6g}")  # the tag is a 32-bit fraction: more digits are not in it


# PNG: a row of chunks


def _read_png(file: BufferedReader) -> Header:
    """Walk over all chunks: their checksums show every flipped byte, and the last one that nothing is cut."""
    orientation = 1
    position = 8
    while True:
        size, kind = struct.unpack(">I4s", _read_at(file, position, 8))
        if size >= _MAX_CHUNK_BYTES:
            raise HeaderError(f"chunk {kind!r} claims {size} bytes")
        exif = _check_chunk(file, kind, size)
        if kind == b"eXIf":
            orientation = _exif_orientation(exif)
        if kind == b"IEND":
            return Header("PNG", orientation=orientation)
        position += 12 + size


def _check_chunk(file: BufferedReader, kind: bytes, size: int) -> bytes:
    """Return the last piece of a chunk's data (all of a short one) after checking its CRC."""
    crc, left, piece = zlib.crc32(kind), size, b""
    while left:
        piece = file.read(min(left, _PIECE_BYTES))
        if not piece:
            raise HeaderError(f"cut short in chunk {kind!r}")
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    if file.read(4) != struct.pack(">I", crc):
        raise HeaderError(f"chunk {kind!r} does not match its checksum")
    return piece


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation of an EXIF block, which is a small TIFF; 1 when it says none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 10:
        return 1
    start = struct.unpack_from(order + "I", exif, 4)[0]
    if start + 2 > len(exif):
        return 1
    count = struct.unpack_from(order + "H", exif, start)[0]
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", exif, at)
        if tag == 274:
            return int(value)
    return 1


# GIF: a screen, then a row of blocks


def _read_gif(file: BufferedReader) -> Header:
    """Walk over all blocks: they tell animations, frames that leave part of the screen open, and cuts."""
    screen = struct.unpack("<HHB", _read_at(file, 6, 5))
    if screen[0] * screen[1] > MAX_GIF_PIXELS:
        raise HeaderError(f"a GIF of {screen[0]} x {screen[1]} px, more than can be read by window")
    position, frames = 13 + _gif_palette_bytes(screen[2]), 0
    while True:
        kind = _read_at(file, position, 1)
        if kind == b";":
            return Header("GIF", pages=frames)
        if kind == b"!":
            position = _after_gif_pieces(file, position + 2)
        elif kind == b",":
            left, top, width, height, flags = struct.unpack("<4HB", _read_at(file, position + 1, 9))
            if (left, top, width, height) != (0, 0, *screen[:2]):
                raise HeaderError("its frame does not fill its screen")
            frames += 1
            position = _after_gif_pieces(file, position + 11 + _gif_palette_bytes(flags))
        else:
            raise HeaderError(f"block {kind!r} at byte {position} is none of a GIF")


def _gif_palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_gif_pieces(file: BufferedReader, position: int) -> int:
    """Return the place behind a chain of pieces of at most 255 bytes, which an empty one ends."""
    while True:
        size = _read_at(file, position, 1)[0]
        position += 1 + size
        if size == 0:
            return position


def _read_at(file: BufferedReader, offset: int, size: int, *, at_least: int | None = None) -> bytes:
    """Return `size` bytes from `offset` on, or raise when the file ends before `at_least` of them."""
    end = os.fstat(file.fileno()).st_size
    if offset > end:
        raise HeaderError(f"it points to byte {offset} of a file of {end} bytes")
    file.seek(offset)
    data = file.read(size)
    if len(data) < (size if at_least is None else at_least):
        raise HeaderError(f"cut short: {end} bytes end inside the header")
    return data
