import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mineralseg.core.geometry import PixelSize
from mineralseg.errors import DataFault, MineralsegError
from mineralseg.io.raster import RasterInfo, probe, read_mask
from tests.io.attacks import grey_tags, short, tiff
from tests.io.ordinary import ORDINARY, RGB, read_a_corner


def _seed_files(folder: Path) -> list[tuple[str, bytes]]:
    names = (
        "rgb.png",
        "palette.png",
        "rgb.jpg",
        "grey.tif",
        "deflate.tif",
        "lzw.tif",
        "big.tif",
        "palette.bmp",
    )
    seeds = []
    for name in names:
        image, options = ORDINARY[name]
        image.save(folder / name, **options)
        seeds.append((name, (folder / name).read_bytes()))
    return seeds


def _with_right_checksums(png: bytes) -> bytes:
    """Repair the chunk checksums of a PNG, so that damage reaches the decoder."""
    out, at = png[:8], 8
    while at + 12 <= len(png):
        size = struct.unpack_from(">I", png, at)[0]
        body = png[at + 4 : at + 8 + size]
        out += png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return out


def _mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite one to four bytes, twice as often in the header, and cut one file in eight."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        end = min(len(changed), 160) if rng.random() < 0.67 else len(changed)
        changed[int(rng.integers(end))] = int(rng.choice([0, 1, 255, int(rng.integers(256))]))
    if rng.random() < 0.125:
        changed = changed[: int(rng.integers(len(changed)))]
    return bytes(changed)


def _fuzz(folder: Path, *, mutations: int, seed: int) -> tuple[int, int]:
    """Return how many mutated files were read and how many refused; anything else raises."""
    rng = np.random.default_rng(seed)
    seeds = _seed_files(folder)
    read = refused = 0
    path = folder / "mutant"
    for number in range(mutations):
        name, data = seeds[number % len(seeds)]
        mutant = _mutate(data, rng)
        if name.endswith(".png") and rng.random() < 0.5:
            mutant = _with_right_checksums(mutant)
        path.write_bytes(mutant)
        started = time.monotonic()
        try:
            read_a_corner(path)
            if probe(path).height * probe(path).width < 10**6:
                read_mask(path)
            read += 1
        except MineralsegError:
            refused += 1
        assert time.monotonic() - started < 1, mutant
    return read, refused


def test_mutated_images_are_read_or_refused(tmp_path: Path) -> None:
    read, refused = _fuzz(tmp_path, mutations=400, seed=1)
    assert read + refused == 400
    assert min(read, refused) > 20, "the mutations reach neither the decoders nor the checks"


@pytest.mark.slow
def test_ten_thousand_mutated_images_are_read_or_refused(tmp_path: Path) -> None:
    assert sum(_fuzz(tmp_path, mutations=10_000, seed=2)) == 10_000


@pytest.mark.parametrize("cut", range(1, 20))
def test_png_cut_anywhere_never_reads_as_black(tmp_path: Path, cut: int) -> None:
    rng = np.random.default_rng(cut)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    image.save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(data[: len(data) * cut // 20])
    with pytest.raises(DataFault):
        read_a_corner(tmp_path / "x.png")


def test_png_with_pixels_missing_and_all_else_right_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    RGB.save(path)
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    size = struct.unpack_from(">I", data, at)[0]
    half = struct.pack(">I", size // 2) + data[at + 4 : at + 8 + size // 2] + bytes(4)
    path.write_bytes(_with_right_checksums(data[:at] + half + data[at + 12 + size :]))
    assert probe(path) == RasterInfo(40, 60, 3, PixelSize.unknown())
    with pytest.raises(DataFault, match="rows 0 to 39"):
        read_a_corner(path)


def test_palette_index_without_colour_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 9, np.uint8)).convert("P").save(tmp_path / "x.png")
    path = tmp_path / "x.png"
    data = path.read_bytes()
    at = data.index(b"PLTE") - 4
    size = struct.unpack_from(">I", data, at)[0]
    shorter = struct.pack(">I", 6) + data[at + 4 : at + 14] + bytes(4)
    path.write_bytes(_with_right_checksums(data[:at] + shorter + data[at + 12 + size :]))
    with pytest.raises(DataFault):
        read_a_corner(path)


def test_grey_of_four_bits_is_no_image(tmp_path: Path) -> None:
    tags = grey_tags(8, 2, t258=short(4), t262=short(1), t279=(4, 1, struct.pack("<I", 8)))
    (tmp_path / "x.tif").write_bytes(tiff(tags, tail=bytes(16)))
    with pytest.raises(DataFault, match="4-bit"):
        probe(tmp_path / "x.tif")
