"""Files that try to break an image reader: one function a case, named after what the file pretends."""

import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CANARY = "canary.bin"
"""A file beside every attack that nobody may open."""

_PIXELS_HWC = np.add.outer(np.arange(40) * 3, np.arange(60) * 2)[..., None] + np.array([0, 20, 40])
RGB_HWC = _PIXELS_HWC.astype(np.uint8)
GREY_HW = RGB_HWC[..., 0]


@dataclass(frozen=True)
class Attack:
    """A file, and the words that its refusal must hold; no words: it is harmless and must open."""

    name: str
    make: Callable[[Path], Path]
    says: tuple[str, ...]


def tiff(tags: dict[int, tuple[int, int, bytes]], *, tail: bytes = b"", next_directory: int = 0) -> bytes:
    """Return a little-endian TIFF of one directory, whose entries are (type, count, value or offset)."""
    entries = b"".join(
        struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
        for tag, (kind, count, value) in sorted(tags.items())
    )
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_directory)
    return b"II*\0" + struct.pack("<I", 8) + directory + tail


def long(value: int) -> tuple[int, int, bytes]:
    return 4, 1, struct.pack("<I", value)


def short(value: int) -> tuple[int, int, bytes]:
    return 3, 1, struct.pack("<H", value)


def grey_tags(width: int, height: int, **more: tuple[int, int, bytes]) -> dict[int, tuple[int, int, bytes]]:
    """Return the tags of an uncompressed 8-bit grey image of one strip that lies at byte 8."""
    tags = {256: long(width), 257: long(height), 258: short(8), 259: short(1), 262: short(1)}
    tags |= {273: long(8), 277: short(1), 278: long(height), 279: long(100)}
    return tags | {int(name[1:]): value for name, value in more.items()}


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _saved(name: str, image: Image.Image, **options: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        image.save(path, **options)  # type: ignore[arg-type]
        return path

    return make


def _changed(make: Callable[[Path], Path], change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make_changed(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make_changed


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _blot(data: bytes) -> bytes:
    """Overwrite 64 bytes in the middle, in the compressed pixels of all formats used here."""
    middle = len(data) // 2
    return data[:middle] + b"\xff" * 64 + data[middle + 64 :]


def shared_tile_bomb(folder: Path) -> Path:
    """40000 x 40000 px in about 50 KB: every tile is the same few bytes."""
    tiles = 79 * 79
    tile = zlib.compress(bytes(512 * 512))
    directory_end = 8 + 2 + 12 * 10 + 4
    arrays = np.full(tiles, directory_end, "<u4").tobytes(), np.full(tiles, len(tile), "<u4").tobytes()
    tags = grey_tags(40000, 40000, t259=short(8), t322=short(512), t323=short(512))
    for strip_tag in (273, 278, 279):
        del tags[strip_tag]
    tags[324] = (4, tiles, struct.pack("<I", directory_end + len(tile)))
    tags[325] = (4, tiles, struct.pack("<I", directory_end + len(tile) + 4 * tiles))
    path = folder / "bomb.tif"
    path.write_bytes(tiff(tags, tail=tile + b"".join(arrays)))
    return path


def _huge_strip(folder: Path) -> Path:
    tags = grey_tags(60000, 60000, t259=short(8), t278=long(30000))
    end = 8 + 2 + 12 * len(tags) + 4
    tags |= {273: (4, 2, struct.pack("<I", end)), 279: (4, 2, struct.pack("<I", end + 8))}
    path = folder / "strip.tif"
    path.write_bytes(tiff(tags, tail=struct.pack("<4I", 8, 8, 100, 100)))
    return path


def _pages(folder: Path) -> Path:
    path = folder / "pages.tif"
    Image.fromarray(RGB_HWC).save(path, save_all=True, append_images=[Image.fromarray(RGB_HWC)])
    return path


def vrt(folder: Path, *, name: str = "photo.tif", source: str | None = None) -> Path:
    """A GDAL VRT that shows the bytes of another file, or of an address, as an image."""
    path = folder / name
    path.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1" '
        f'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{source or folder / CANARY}'
        "</SourceFilename></VRTRasterBand></VRTDataset>"
    )
    return path


def _with_aux_xml(folder: Path) -> Path:
    path = folder / "grey.tif"
    Image.fromarray(GREY_HW).save(path)
    (folder / "grey.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><ColorInterp>Alpha</ColorInterp>'
        "<NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    return path


def _url_like(folder: Path) -> Path:
    nested = folder / "s3:" / "bucket"
    nested.mkdir(parents=True)
    return _saved("photo.tif", Image.fromarray(RGB_HWC))(nested)


def _loop(folder: Path) -> Path:
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    return folder / "loop.tif"


def _link(folder: Path) -> Path:
    (folder / "link.tif").symlink_to(_saved("target.png", Image.fromarray(RGB_HWC))(folder))
    return folder / "link.tif"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo.tif")
    return folder / "fifo.tif"


def _socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(folder / "s.tif"))
    return folder / "s.tif"


def _folder(folder: Path) -> Path:
    (folder / "folder.tif").mkdir()
    return folder / "folder.tif"


def _not_utf8(folder: Path) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/bad_\xff.tif"))
    Image.fromarray(RGB_HWC).save(os.fspath(folder / "good.tif"))
    (folder / "good.tif").rename(path)
    return path


def _named(name: str) -> Attack:
    return Attack(f"A30 name {name[:8]!a}", _saved(name, Image.fromarray(RGB_HWC), format="TIFF"), ())


_RGB, _GREY = Image.fromarray(RGB_HWC), Image.fromarray(GREY_HW)
_EXIF = Image.Exif()
_EXIF[0x112] = 6
_PLAIN_TIFF = _saved("x.tif", _RGB)
_DEFLATE_TIFF = _saved("x.tif", _RGB, compression="tiff_adobe_deflate")
_CIRCLE = tiff(grey_tags(10, 10), tail=bytes(100), next_directory=8)
_HTTP_SERVICE = b"<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1/</ServerUrl></Service></GDAL_WMS>"

ATTACKS = (
    Attack("A1 uncompressed TIFF cut", _changed(_PLAIN_TIFF, _half), ("cut short",)),
    Attack("A1 deflate TIFF cut", _changed(_DEFLATE_TIFF, _half), ("damaged",)),
    Attack("A2 empty", _bytes("x.tif", b""), ("an empty file",)),
    Attack("A2 TIFF of 8 bytes", _bytes("x.tif", b"II*\0\x08\0\0\0"), ("damaged", "cut short")),
    Attack("A2 TIFF of 4 bytes", _bytes("x.tif", b"II*\0"), ("damaged",)),
    Attack("A3 PNG cut", _changed(_saved("x.png", _RGB), _half), ("cut short",)),
    Attack("A3 PNG without end", _changed(_saved("x.png", _RGB), lambda data: data[:-12]), ("cut short",)),
    Attack(
        "A3 JPEG cut",
        _changed(_saved("x.jpg", _RGB), lambda data: data[:-9]),
        ("rows 0 to 39", "Premature end"),
    ),
    Attack("A3 BMP cut", _changed(_saved("x.bmp", _RGB), _half), ("rows 0 to 39",)),
    Attack("A4 deflate TIFF damaged", _changed(_DEFLATE_TIFF, _blot), ("rows 0 to 39", "cannot be read")),
    Attack("A4 PNG damaged", _changed(_saved("x.png", _RGB), _blot), ("checksum",)),
    Attack(
        "A6 2^31 x 2^31",
        _bytes("x.tif", tiff(grey_tags(2**31 - 1, 2**31 - 1), tail=bytes(99))),
        ("2147483647 x",),
    ),
    Attack("A7 strips of 1.8 GB", _huge_strip, ("blocks of 1717 MiB", "TILED=YES")),
    Attack("A9 zero width", _bytes("x.tif", tiff(grey_tags(0, 10), tail=bytes(99))), ("x.tif",)),
    Attack(
        "A13 16-bit PNG", _saved("x.png", Image.fromarray(GREY_HW.astype(np.uint16) * 257)), ("as 8 bit",)
    ),
    Attack(
        "A14 float TIFF", _saved("x.tif", Image.fromarray(GREY_HW.astype(np.float32))), ("float32", "8 bit")
    ),
    Attack("A17 CMYK JPEG", _saved("x.jpg", _RGB.convert("CMYK")), ("CMYK", "as RGB")),
    Attack("A17 CMYK TIFF", _saved("x.tif", _RGB.convert("CMYK")), ("CMYK", "as RGB")),
    Attack("A18 turned JPEG", _saved("x.jpg", _RGB, exif=_EXIF), ("orientation 6", "save it upright")),
    Attack("A18 turned PNG", _saved("x.png", _RGB, exif=_EXIF), ("orientation 6", "save it upright")),
    Attack("A18 turned TIFF", _saved("x.tif", _RGB, tiffinfo={274: 6}), ("orientation 6", "save it upright")),
    Attack("A20 two pages", _pages, ("2 pages", "save the page")),
    Attack("A21 JPEG named .png", _saved("x.png", _RGB, format="JPEG"), ()),
    Attack("A22 text", _bytes("x.tif", b"hello, world"), ("not an image", "hello")),
    Attack("A22 web page", _bytes("x.tif", b"\n<!DOCTYPE html><html>"), ("a web page", "download")),
    Attack("A22 LFS", _bytes("x.tif", b"version https://git-lfs.github.com/spec/v1\n"), ("git lfs pull",)),
    Attack("A22 DVC", _bytes("x.tif", b"outs:\n- md5: 0123\n  path: x.tif\n"), ("dvc pull",)),
    Attack("A22 WebP", _saved("x.tif", _RGB, format="WEBP"), ("a WebP image", "TIFF or PNG")),
    Attack("A23 VRT on a file", vrt, ("VRT", "other files")),
    Attack("A23 WMS", _bytes("x.tif", _HTTP_SERVICE), ("other files or services",)),
    Attack("A24 a path like an URL", _url_like, ()),
    Attack("A24 an URL", lambda _: Path("http://127.0.0.1:9/x.tif"), ("no such file",)),
    Attack("A24 vsicurl", lambda _: Path("/vsicurl/http://127.0.0.1:9/x.tif"), ("no such file",)),
    Attack("A25 aux.xml beside it", _with_aux_xml, ()),
    Attack("A26 link to itself", _loop, ("symbolic links",)),
    Attack("A27 link to an image", _link, ()),
    Attack("A29 pipe", _fifo, ("a regular file",)),
    Attack("A29 socket", _socket, ("a regular file",)),
    Attack("A29 folder", _folder, ("a regular file",)),
    *map(
        _named,
        ("a b'\".tif", "-x.tif", "x\ny.tif", "x#?%20.tif", "шлиф.tif", "a!b|c.tif", "n" * 251 + ".tif"),
    ),
    Attack("A31 name not UTF-8", _not_utf8, ("bad_\\udcff.tif", "rename")),
    Attack("directories in a circle", _bytes("x.tif", _CIRCLE), ("circle",)),
    Attack(
        "blocks never written", _bytes("x.tif", tiff(grey_tags(10, 10, t279=long(0)))), ("never written",)
    ),
)
