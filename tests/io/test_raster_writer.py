import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mineralseg.core.geometry import PixelSize, Window
from mineralseg.errors import EnvironmentFault
from mineralseg.io import raster_writer as module
from mineralseg.io.gdal import quiet_georeference, rasterio
from mineralseg.io.raster import RasterInfo, open_raster, probe, read_mask
from mineralseg.io.raster_writer import RasterSpec, raster_writer, write_png

PALETTE = {0: (10, 20, 30), 3: (200, 0, 0), 255: (0, 0, 0)}


def _noise(height: int, width: int, bands: int = 1, *, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _write(path: Path, pixels_HWB: NDArray[np.uint8], spec: RasterSpec, *, strip_px: int = 512) -> None:
    with raster_writer(path, spec=spec) as writer:
        for row in range(0, spec.height, strip_px):
            writer.write(pixels_HWB[row : row + strip_px], row=row)


# What is written is read


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    bands=st.sampled_from([1, 3]),
    strip_px=st.integers(1, 70),
    um=st.none() | st.floats(1e-4, 1e4),
)
def test_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    bands: int,
    strip_px: int,
    um: float | None,
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.tif"
    pixels_HWB = _noise(height, width, bands, seed=height * 71 + width)
    size = PixelSize.unknown() if um is None else PixelSize.declared(um)
    _write(path, pixels_HWB, RasterSpec(height, width, bands, pixel_size=size), strip_px=strip_px)
    with open_raster(path) as raster:
        np.testing.assert_array_equal(raster.read_all(), pixels_HWB)
        assert raster.pixel_size.um == um


@pytest.mark.parametrize("um", [0.25, 0.3457, 1.0, 12.5])
def test_pixel_size_is_also_in_the_tags_that_other_programs_read(tmp_path: Path, um: float) -> None:
    spec = RasterSpec(4, 4, 1, pixel_size=PixelSize.declared(um))
    _write(tmp_path / "x.tif", _noise(4, 4), spec)
    with Image.open(tmp_path / "x.tif") as peer:
        assert peer.tag_v2[296] == 3  # type: ignore[attr-defined]
        assert float(peer.tag_v2[282]) == pytest.approx(10_000 / um, rel=1e-6)  # type: ignore[attr-defined]


def test_label_map_carries_palette_nodata_tags_and_overviews(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "map.tif"
    codes_HW = np.zeros((1300, 700), np.uint8)
    codes_HW[::3] = 3  # one row in three: the most frequent code of every 2 x 2 or larger block stays 0
    codes_HW[0, 0] = 255
    spec = RasterSpec(
        1300, 700, 1, palette=PALETTE, nodata=255, tags={"MODEL": "Фаза <1> & co"}, overviews="mode"
    )
    _write(path, codes_HW, spec)
    np.testing.assert_array_equal(read_mask(path), codes_HW)
    assert probe(path) == RasterInfo(1300, 700, 3, PixelSize.unknown())
    with open_raster(path) as raster:
        np.testing.assert_array_equal(raster.read(Window(0, 0, 2, 2))[:, 1], [PALETTE[3], PALETTE[0]])
    with quiet_georeference(), rasterio.open(path, driver="GTiff") as source:
        assert source.nodata == 255
        assert source.tags()["MODEL"] == "Фаза <1> & co"
        assert source.overviews(1) == [2, 4]
        assert source.block_shapes == [(512, 512)]
        assert source.compression.name == "deflate"
    with quiet_georeference(), rasterio.open(path, driver="GTiff", overview_level=1) as smaller:
        assert set(np.unique(smaller.read(1))) <= {0, 3}, "codes were mixed"
    assert path.stat().st_mode & 0o777 == 0o644
    assert _names(path.parent) == ["map.tif"]


def test_average_overviews_of_colours(tmp_path: Path) -> None:
    pixels_HWB = np.full((600, 600, 3), 10, np.uint8)
    pixels_HWB[::2] = 30
    _write(tmp_path / "x.tif", pixels_HWB, RasterSpec(600, 600, 3, overviews="average"))
    with quiet_georeference(), rasterio.open(tmp_path / "x.tif", driver="GTiff", overview_level=0) as smaller:
        assert (smaller.read() == 20).all()


def test_tiles_may_come_in_any_order_of_columns(tmp_path: Path) -> None:
    pixels_HWB = _noise(90, 100)
    with raster_writer(tmp_path / "x.tif", spec=RasterSpec(90, 100, 1)) as writer:
        for col in (40, 0, 80):
            for row in (0, 30, 60):
                tile_HW = pixels_HWB[row : row + 30, col : col + 40, 0]
                writer.write(tile_HW, row=row, col=col)
    with open_raster(tmp_path / "x.tif") as raster:
        np.testing.assert_array_equal(raster.read_all(), pixels_HWB)


# Every pixel exactly once


@pytest.mark.parametrize(
    ("shape", "dtype", "row", "col"),
    [
        ((5, 10), np.uint8, 4, 0),  # rows written before
        ((5, 10), np.uint8, 6, 0),  # a gap
        ((6, 10), np.uint8, 5, 0),  # below the raster
        ((5, 10), np.uint8, 5, 1),  # right of it
        ((5, 5), np.uint8, 5, -1),
        ((5, 10, 3), np.uint8, 5, 0),
        ((5, 10), np.uint16, 5, 0),
        ((0, 10), np.uint8, 5, 0),
    ],
)
def test_wrong_write_is_a_bug_of_the_caller(
    tmp_path: Path, shape: tuple[int, ...], dtype: type[np.generic], row: int, col: int
) -> None:
    wrong = np.zeros(shape, dtype)
    with raster_writer(tmp_path / "x.tif", spec=RasterSpec(10, 10, 1)) as writer:
        writer.write(np.zeros((5, 10), np.uint8), row=0)
        with pytest.raises(ValueError, match=r"write|pixels|window|raster"):
            writer.write(wrong, row=row, col=col)
        writer.write(np.ones((5, 10), np.uint8), row=5)  # and nothing has happened
    np.testing.assert_array_equal(read_mask(tmp_path / "x.tif").mean(axis=1), [0] * 5 + [1] * 5)


def test_missing_pixels_are_counted(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="40 pixels"),
        raster_writer(tmp_path / "x.tif", spec=RasterSpec(10, 10, 1)) as writer,
    ):
        writer.write(np.zeros((6, 10), np.uint8), row=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"bands": 2},
        {"bands": 3, "palette": PALETTE},
        {"palette": PALETTE, "overviews": "average"},
        {"tags": {"PIXEL_SIZE_UM": "1"}},
    ],
)
def test_spec_of_no_raster(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"raster|palette|pixel_size"):
        RasterSpec(**({"height": 4, "width": 4, "bands": 1} | wrong))  # type: ignore[arg-type]


# Failure leaves the old file and nothing else


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow over a size: writing more fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old_handler)


def _sweep(folder: Path, spec: RasterSpec, *, step_bytes: int) -> tuple[int, int]:
    """Write under every file size limit; return how many writes succeeded and how many were refused."""
    path = folder / "x.tif"
    pixels_HWB = _noise(spec.height, spec.width, spec.bands)
    _write(path, pixels_HWB, spec)
    whole_bytes = path.stat().st_size
    good = refused = 0
    for limit_bytes in range(0, whole_bytes + 2 * step_bytes, step_bytes):
        path.write_bytes(b"old")
        try:
            with _largest_file(limit_bytes):
                _write(path, pixels_HWB, spec, strip_px=100)
        except EnvironmentFault:
            assert path.read_bytes() == b"old"
            refused += 1
        else:
            with open_raster(path) as raster:
                np.testing.assert_array_equal(raster.read_all(), pixels_HWB)
            good += 1
        assert _names(folder) == ["x.tif"]
    return good, refused


@pytest.mark.parametrize("overviews", [None, "average"])
def test_full_disk_is_never_hidden(tmp_path: Path, overviews: None) -> None:
    spec = RasterSpec(530, 150, 1, overviews=overviews)
    good, refused = _sweep(tmp_path, spec, step_bytes=3001)
    assert good >= 1
    assert refused >= 25


def test_bare_rasterio_hides_a_full_disk(tmp_path: Path) -> None:
    """The negative control: if this finds no loss, the sweep above proves nothing."""
    pixels_HWB = _noise(530, 150)
    path = tmp_path / "x.tif"
    silent = 0
    for limit_bytes in range(0, 84_000, 3001):
        path.unlink(missing_ok=True)
        try:
            with _largest_file(limit_bytes), quiet_georeference(), rasterio.open(
                path, "w", driver="GTiff", height=530, width=150, count=1, dtype="uint8", tiled=True,
                compress="deflate",
            ) as target:  # fmt: skip
                target.write(pixels_HWB.transpose(2, 0, 1))
        except (rasterio.errors.RasterioError, OSError):
            continue
        try:
            with quiet_georeference(), rasterio.open(path, driver="GTiff") as source:
                silent += not np.array_equal(source.read(1), pixels_HWB[..., 0])
        except rasterio.errors.RasterioError:
            silent += 1
    assert silent > 0


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_damage_between_closing_and_naming_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    def damage(path: Path, temporary: Path, spec: RasterSpec) -> None:
        data = bytearray(temporary.read_bytes())
        at = int(len(data) * place)
        data[at : at + 8] = bytes(value ^ 0x55 for value in data[at : at + 8])
        temporary.write_bytes(data)

    monkeypatch.setattr(module, "_build_overviews", damage)
    (tmp_path / "x.tif").write_bytes(b"old")
    with pytest.raises(EnvironmentFault, match=r"x\.tif"):
        _write(tmp_path / "x.tif", _noise(600, 600), RasterSpec(600, 600, 1, overviews="mode"))
    assert (tmp_path / "x.tif").read_bytes() == b"old"
    assert _names(tmp_path) == ["x.tif"]


def test_error_of_the_block_passes_through(tmp_path: Path) -> None:
    def write_half() -> None:
        with raster_writer(tmp_path / "x.tif", spec=RasterSpec(600, 600, 1)) as writer:
            writer.write(_noise(512, 600), row=0)
            raise KeyError("mine")

    (tmp_path / "x.tif").write_bytes(b"old")
    with pytest.raises(KeyError, match="mine"):
        write_half()
    assert (tmp_path / "x.tif").read_bytes() == b"old"
    assert _names(tmp_path) == ["x.tif"]


_TMPFS_SWEEP = """
import subprocess, sys
from pathlib import Path
import numpy as np
from mineralseg.errors import EnvironmentFault
from mineralseg.io.gdal import quiet_georeference, rasterio
from mineralseg.io.raster import open_raster
from mineralseg.io.raster_writer import RasterSpec, raster_writer

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
pixels = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
path, ballast = folder / "x.tif", folder / "ballast"

def ours():
    with raster_writer(path, spec=RasterSpec(512, 512, 1)) as writer:
        writer.write(pixels, row=0)

def bare():
    with quiet_georeference(), rasterio.open(
        path, "w", driver="GTiff", height=512, width=512, count=1, dtype="uint8", tiled=True
    ) as target:
        target.write(pixels, 1)

def intact():
    try:
        with open_raster(path) as raster:
            return np.array_equal(raster.read_all()[..., 0], pixels)
    except Exception:
        return False

for write in (ours, bare):
    counts = dict(good=0, reported=0, silent=0, left=0)
    for free_kib in range(0, 325, 4):
        path.unlink(missing_ok=True)
        ballast.write_bytes(bytes(1024 * (1024 - free_kib)))
        try:
            write()
        except (EnvironmentFault, rasterio.errors.RasterioError, OSError):
            counts["reported"] += 1
        else:
            counts["good" if intact() else "silent"] += 1
        counts["left"] += sum(name.name.startswith(".tmp-") for name in folder.iterdir())
    print(write.__name__, *counts.values())
"""


@pytest.mark.slow
def test_free_space_sweep_on_a_small_disk(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces are not allowed here, so no small disk can be mounted")
    command = ["unshare", "-Urm", sys.executable, "-c", _TMPFS_SWEEP, str(tmp_path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    counts = {name: [int(n) for n in numbers] for name, *numbers in map(str.split, lines)}
    good, reported, silent, left = counts["ours"]
    assert good > 0
    assert reported > 0
    assert (silent, left) == (0, 0)
    assert counts["bare"][2] > 0, "the negative control lost nothing: the sweep is blind"


# PNG


def test_png_keeps_pixels_and_text(tmp_path: Path) -> None:
    rgb_HWC = _noise(20, 30, 3)
    write_png(tmp_path / "x.png", rgb_HWC, text={"Model": "кварц", "Scale": "0.5 um"})
    with open_raster(tmp_path / "x.png") as raster:
        np.testing.assert_array_equal(raster.read_all(), rgb_HWC)
    with Image.open(tmp_path / "x.png") as peer:
        peer.load()
        assert peer.text == {"Model": "кварц", "Scale": "0.5 um"}  # type: ignore[attr-defined]


def test_png_of_other_pixels_is_a_bug_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="RGB"):
        write_png(tmp_path / "x.png", _noise(4, 4, 1))
