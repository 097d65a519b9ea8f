import itertools
import os
import resource
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mineralseg.core.geometry import PixelSize, Window
from mineralseg.errors import DataFault
from mineralseg.io import raster as raster_module
from mineralseg.io.gdal import rasterio
from mineralseg.io.raster import RasterInfo, open_raster, probe, read_mask, read_mask_codes
from tests.io.attacks import (
    ATTACKS,
    CANARY,
    GREY_HW,
    RGB_HWC,
    Attack,
    shared_tile_bomb,
    vrt,
)
from tests.io.ordinary import ALPHA, GREY, ORDINARY, PALETTE, RGB, read_a_corner
from tests.io.watch import opened_files


@pytest.mark.parametrize("name", ORDINARY)
def test_reader_agrees_with_pillow(tmp_path: Path, name: str) -> None:
    image, options = ORDINARY[name]
    image.save(tmp_path / name, **options)
    with open_raster(tmp_path / name) as raster:
        pixels_HWC = raster.read_all()
        assert (
            pixels_HWC.shape == (raster.height, raster.width, raster.bands) == (40, 60, pixels_HWC.shape[2])
        )
    assert pixels_HWC.dtype == np.uint8
    assert raster.bands == (1 if image.mode in {"L", "LA", "1"} else 3)
    with Image.open(tmp_path / name) as peer:
        # dropping the fourth band by hand, since convert("RGB") would too, but says nothing about alpha
        flat = peer.getchannel(0) if peer.mode == "LA" else peer.convert("L" if raster.bands == 1 else "RGB")
        expected_HWC = np.asarray(flat).reshape(pixels_HWC.shape)
    tolerance = 1 if name.endswith(".jpg") else 0  # two JPEG decoders may round differently
    assert int(np.abs(pixels_HWC.astype(int) - expected_HWC).max()) <= tolerance


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd"])
def test_windows_of_tiles_and_strips_agree_with_pixels(tmp_path: Path, compression: str | None) -> None:
    for tiled in (True, False):
        path = tmp_path / f"{tiled}.tif"
        shape = {"blockxsize": 16, "blockysize": 16} if tiled else {"blockysize": 7}
        with rasterio.open(
            path, "w", driver="GTiff", height=40, width=60, count=3, dtype="uint8", tiled=tiled,
            compress=compression, **shape, transform=rasterio.Affine(1, 0, 0, 0, -1, 40),
        ) as target:  # fmt: skip
            target.write(RGB_HWC.transpose(2, 0, 1))
        with open_raster(path) as raster:
            np.testing.assert_array_equal(raster.read_all(), RGB_HWC)
            np.testing.assert_array_equal(raster.read(Window(5, 9, 20, 30)), RGB_HWC[5:25, 9:39])


@pytest.fixture(scope="module")
def palette_tiff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raster") / "palette.tif"
    PALETTE.save(path, compression="tiff_lzw")
    return path


@given(data=st.data())
def test_windows_stitched_are_the_whole(palette_tiff: Path, data: st.DataObject) -> None:
    rows = sorted({0, 40, *data.draw(st.lists(st.integers(1, 39), max_size=4))})
    cols = sorted({0, 60, *data.draw(st.lists(st.integers(1, 59), max_size=4))})
    with open_raster(palette_tiff) as raster:
        whole = raster.read_all()
        stitched = np.concatenate(
            [
                np.concatenate(
                    [
                        raster.read(Window(top, left, bottom - top, right - left))
                        for left, right in itertools.pairwise(cols)
                    ],
                    axis=1,
                )
                for top, bottom in itertools.pairwise(rows)
            ]
        )
    np.testing.assert_array_equal(stitched, whole)


@pytest.mark.parametrize(
    "window", [Window(-1, 0, 2, 2), Window(0, -1, 2, 2), Window(39, 0, 2, 2), Window(0, 59, 1, 2)]
)
def test_window_over_the_edge_is_a_bug_of_the_caller(palette_tiff: Path, window: Window) -> None:
    with open_raster(palette_tiff) as raster, pytest.raises(ValueError, match="Window"):
        raster.read(window)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(tmp_path: Path, attack: Attack) -> None:
    canary = tmp_path / CANARY
    canary.write_bytes(bytes(range(256)))
    path = attack.make(tmp_path)
    started = time.monotonic()
    with opened_files(tmp_path) as opened:
        if attack.says:
            with pytest.raises(DataFault) as caught:
                read_a_corner(path)
        else:
            read_a_corner(path)
    assert time.monotonic() - started < 1
    assert opened <= {os.fsdecode(os.fsencode(path.name)), "target.png"}, "another file was opened"
    if attack.says:
        message = str(caught.value)
        assert all(words in message for words in attack.says), message
        assert "\n" not in message
        message.encode("utf-8")


def test_watch_sees_who_is_opened(tmp_path: Path) -> None:
    (tmp_path / CANARY).write_bytes(b"x")
    with opened_files(tmp_path) as opened:
        (tmp_path / CANARY).read_bytes()
    assert opened == {CANARY}


def test_side_file_changes_nothing(tmp_path: Path) -> None:
    attack = next(attack for attack in ATTACKS if attack.name.startswith("A25"))
    with open_raster(attack.make(tmp_path)) as raster:
        np.testing.assert_array_equal(raster.read_all()[..., 0], GREY_HW)


def test_vrt_opens_no_connection(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        address = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/x.tif"
        for name in ("x.tif", "x.vrt"):
            with pytest.raises(DataFault, match="VRT"):
                probe(vrt(tmp_path, name=name, source=address))
        with pytest.raises(BlockingIOError):
            server.accept()


def test_drivers_that_follow_names_are_not_there() -> None:
    with rasterio.Env() as environment:
        drivers = set(environment.drivers())
    assert {"GTiff", "PNG", "JPEG", "BMP"} <= drivers
    assert not drivers & {"VRT", "GTI", "WMS", "WMTS", "WCS", "HTTP", "STACIT", "PDF", "SQLite", "MBTiles"}


def test_bomb_within_the_limit_is_read_in_flat_memory(tmp_path: Path) -> None:
    path = shared_tile_bomb(tmp_path)
    assert path.stat().st_size < 60_000
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_raster(path) as raster:
        assert (raster.height, raster.width) == (40000, 40000)
        for start in (0, 20000, 39000):
            assert not raster.read(Window(start, start, 1000, 1000)).any()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200 * 1024


def test_read_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster_module, "MAX_READ_BYTES", RGB_HWC.size - 1)
    RGB.save(tmp_path / "x.tif")
    with open_raster(tmp_path / "x.tif") as raster:
        raster.read(Window(0, 0, 39, 60))
        with pytest.raises(DataFault, match="in one piece"):
            raster.read_all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_named(tmp_path: Path) -> None:
    RGB.save(tmp_path / "x.tif")
    (tmp_path / "x.tif").chmod(0)
    with pytest.raises(DataFault, match=r"x\.tif.*Permission denied"):
        probe(tmp_path / "x.tif")


# Pixel size


@pytest.mark.parametrize(
    ("resolution", "unit", "um"),
    [
        (10_000.0, 3, 1.0),
        (40_000.0, 3, 0.25),
        (25_400.0, 2, 1.0),
        (2400.0, 2, 25_400 / 2400),  # a flatbed scanner
        (72.0, 2, None),
        (96.0, 2, None),
        (300.0, 2, None),
        (118.11, 3, None),  # 300 dpi again
        (600.0, 2, None),
        (10_000.0, 1, None),  # no unit
        (1e8, 3, None),  # 0.0001 um
    ],
)
def test_pixel_size_is_what_a_microscope_can_have(
    tmp_path: Path, resolution: float, unit: int, um: float | None
) -> None:
    GREY.save(tmp_path / "x.tif", tiffinfo={282: resolution, 283: resolution, 296: unit})
    size = probe(tmp_path / "x.tif").pixel_size
    assert size.source == ("unknown" if um is None else "file")
    assert size.um == (None if um is None else pytest.approx(um, rel=1e-5))


def test_pixels_that_are_not_square_have_no_size(tmp_path: Path) -> None:
    GREY.save(tmp_path / "x.tif", tiffinfo={282: 10_000.0, 283: 9_000.0, 296: 3})
    assert probe(tmp_path / "x.tif") == RasterInfo(40, 60, 1, PixelSize.unknown())


# Masks

CODES_HW = (GREY_HW // 16).astype(np.uint8)


def _indexed() -> Image.Image:
    image = Image.fromarray(CODES_HW).convert("P")
    image.putpalette([channel for code in range(256) for channel in (255 - code, code, 7)])
    return image


@pytest.mark.parametrize("name", ["codes.png", "codes.tif", "codes.bmp"])
def test_mask_gives_codes_as_stored(tmp_path: Path, name: str) -> None:
    for image in (Image.fromarray(CODES_HW), _indexed()):
        image.save(tmp_path / name)
        codes_HW = read_mask(tmp_path / name)
        assert codes_HW.dtype == np.uint8
        np.testing.assert_array_equal(codes_HW, CODES_HW)


def test_mask_of_one_bit_gives_zero_and_one(tmp_path: Path) -> None:
    Image.fromarray(CODES_HW > 3).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "x.png"), CODES_HW > 3)


@pytest.mark.parametrize(
    ("name", "image", "options", "says"),
    [
        ("x.png", RGB, {}, "red, green, blue"),
        ("x.png", ALPHA, {}, "alpha"),
        ("x.jpg", GREY, {}, "lossy"),
        ("x.tif", GREY, {"compression": "jpeg"}, "lossy"),
        ("x.tif", GREY, {"tiffinfo": {262: 0}}, "inverted"),
        ("x.tif", Image.fromarray(GREY_HW.astype(np.float32)), {}, "float32"),
        ("x.png", Image.fromarray(GREY_HW.astype(np.uint16)), {}, "uint16"),
    ],
)
def test_mask_that_holds_no_codes_is_refused(
    tmp_path: Path, name: str, image: Image.Image, options: dict[str, Any], says: str
) -> None:
    image.save(tmp_path / name, **options)
    with pytest.raises(DataFault, match=says):
        read_mask(tmp_path / name)


def test_codes_of_16_bits_are_read_for_a_table(tmp_path: Path) -> None:
    codes_HW = GREY_HW.astype(np.uint16) * 257
    for name in ("x.png", "x.tif"):
        Image.fromarray(codes_HW).save(tmp_path / name)
        found_HW = read_mask_codes(tmp_path / name)
        assert found_HW.dtype == np.uint16
        np.testing.assert_array_equal(found_HW, codes_HW)
        with pytest.raises(DataFault, match=r"uint16 values.*table of codes"):
            read_mask(tmp_path / name)


# Maps


@pytest.mark.parametrize("interlace", [0, 1])
def test_a_gif_shows_its_colours_and_is_no_mask_of_codes(tmp_path: Path, interlace: int) -> None:
    path = tmp_path / "map.gif"
    PALETTE.save(path, interlace=interlace, transparency=0)
    with opened_files(tmp_path) as opened, open_raster(path) as raster:
        pixels_HWC = raster.read_all()
        assert not raster.lossy
    assert opened <= {"map.gif"}
    np.testing.assert_array_equal(pixels_HWC, np.asarray(PALETTE.convert("RGB")))
    with pytest.raises(DataFault, match=r"GIF.*by its colours"):
        read_mask(path)


def test_an_animated_or_cut_gif_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.gif"
    PALETTE.save(path, save_all=True, append_images=[PALETTE.rotate(180)])
    with pytest.raises(DataFault, match="2 frames of an animation"):
        probe(path)
    PALETTE.save(path)
    whole = path.read_bytes()
    for cut in (10, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataFault, match=r"map\.gif: damaged"):
            probe(path)
    path.write_bytes(whole[:6] + b"\xff\xff\xff\xff" + whole[10:])
    with pytest.raises(DataFault, match="65535 x 65535"):
        probe(path)


def test_a_map_that_was_compressed_with_loss_says_so(tmp_path: Path) -> None:
    for name, options, lossy in (
        ("x.jpg", {}, True),
        ("x.tif", {"compression": "jpeg"}, True),
        ("y.tif", {"compression": "tiff_lzw"}, False),
        ("x.png", {}, False),
    ):
        RGB.save(tmp_path / name, **options)
        with open_raster(tmp_path / name) as raster:
            assert raster.lossy == lossy
