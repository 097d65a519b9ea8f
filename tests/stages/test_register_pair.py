"""Two loose files registered: what is accepted, what is refused, and what is written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mineralseg.core.geometry import Window
from mineralseg.core.registration import Registration
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.imaging.warp import resample_labels, resample_window
from mineralseg.io.files import read_json
from mineralseg.io.raster import open_raster, probe
from mineralseg.io.raster_writer import write_png
from mineralseg.io.tables import write_csv
from mineralseg.stages.register_pair import Pair, PairLimits, register_pair
from tests.workspaces import PIXEL_SIZE_UM, make_slides, write_tiff

SIZE_PX, MAPPED_PX = 288, 576
LIMITS = PairLimits(None, 0.05, None, 0.25)
LANDMARKS = ["moving_x", "moving_y", "fixed_x", "fixed_y"]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fields of one rock and one of another; not to be changed."""
    folder = tmp_path_factory.mktemp("pair") / "set"
    make_slides(folder, samples=3, size_px=SIZE_PX, seed=11)
    return folder


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field large enough for its coarse map; not to be changed."""
    folder = tmp_path_factory.mktemp("map") / "set"
    make_slides(folder, samples=1, size_px=MAPPED_PX, seed=11)
    return folder / "S01a"


@pytest.fixture
def views(fields: Path) -> Pair:
    return pair_of(fields / "S02a" / "image" / "PPL.tif", fields / "S02a" / "image" / "XPL45.tif")


@pytest.fixture
def coarse(mapped: Path) -> Pair:
    scale = np.sqrt(np.linalg.det(truth_of(mapped, "map")[:2, :2]))
    pair = pair_of(mapped / "image" / "PPL.tif", mapped / "truth" / "mineral_map.png")
    return replace(pair, is_map=True, moving_um=float(PIXEL_SIZE_UM * scale))


def pair_of(fixed: Path, moving: Path) -> Pair:
    return Pair(fixed, moving, is_map=False, landmarks=None, fixed_um=None, moving_um=None)


def register(
    pair: Pair,
    limits: PairLimits = LIMITS,
    *,
    out: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Registration:
    return register_pair(pair, limits, out=out, picture=picture, overwrite=overwrite, dry_run=dry_run)


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with open_raster(path) as raster:
        return raster.read_all()


def truth_of(sample: Path, what: str) -> NDArray[np.float64]:
    transforms = read_json(sample / "truth" / "transforms.json")
    return np.array(transforms["mineral_map"] if what == "map" else transforms["views"][what])


def moved(places_xy: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    homogeneous = np.column_stack([places_xy, np.ones(len(places_xy))]) @ matrix.T
    return homogeneous[:, :2]


def apart_px(found: Registration, truth: NDArray[np.float64], *, side_px: int) -> float:
    """Return how far, root mean square, the corners of a moving image lie from where truth puts them."""
    assert found.moving_to_fixed is not None
    low, high = 0.05 * side_px, 0.95 * side_px
    corners = np.array([[low, low], [high, low], [low, high], [high, high]])
    off = found.moving_to_fixed.apply(corners) - moved(corners, truth)
    return float(np.sqrt((off**2).sum(axis=1).mean()))


def mark(path: Path, truth: NDArray[np.float64], *, side_px: int) -> Path:
    """Write nine places of a moving image and where truth puts them, to a tenth of a pixel."""
    along = np.linspace(0.2, 0.8, 3) * side_px
    places = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    table = np.column_stack([places, moved(places, truth).round(1)])
    write_csv(path, LANDMARKS, table.tolist())
    return path


def test_a_view_is_found_where_the_truth_says(views: Pair, fields: Path) -> None:
    found = register(views)
    assert (found.verdict, found.reason) == ("accepted", "")
    assert apart_px(found, truth_of(fields / "S02a", "XPL45"), side_px=SIZE_PX) < 0.8
    assert found.residual_px is not None
    assert found.residual_px < 1
    assert found.inliers >= 10


def test_what_is_written_is_the_view_where_the_transform_puts_it(views: Pair, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.tif"
    found = register(views, out=out)
    expected, _ = resample_window(pixels_of(views.moving), found.warp, Window(0, 0, SIZE_PX, SIZE_PX))
    np.testing.assert_array_equal(pixels_of(out), expected)
    assert probe(out).pixel_size.um == pytest.approx(PIXEL_SIZE_UM)
    assert [path.name for path in out.parent.iterdir()] == ["out.tif"]


def test_a_shifted_copy_comes_back_on_the_original(views: Pair, tmp_path: Path) -> None:
    original = pixels_of(views.fixed)
    write_tiff(tmp_path / "cut.tif", original[12:270, 7:260].copy())
    found = register(pair_of(views.fixed, tmp_path / "cut.tif"), out=tmp_path / "out.tif")
    assert apart_px(found, np.array([[1, 0, 7], [0, 1, 12], [0, 0, 1.0]]), side_px=250) < 0.1
    placed = pixels_of(tmp_path / "out.tif").astype(int)
    assert np.abs(placed - original)[16:266, 11:256].mean() < 2
    assert not placed[:10].any()
    assert not placed[:, 264:].any()


def test_a_declared_pixel_size_is_that_of_the_output(views: Pair, tmp_path: Path) -> None:
    stated = replace(views, fixed_um=0.8, moving_um=0.8)
    assert register(stated, out=tmp_path / "out.tif").verdict == "accepted"
    assert probe(tmp_path / "out.tif").pixel_size.um == pytest.approx(0.8)


def test_a_turned_copy_is_found_unless_turns_are_limited(views: Pair, tmp_path: Path) -> None:
    write_tiff(tmp_path / "turned.tif", np.ascontiguousarray(np.rot90(pixels_of(views.moving))))
    turned = pair_of(views.fixed, tmp_path / "turned.tif")
    found = register(turned)
    assert found.verdict == "accepted"
    assert found.rotation_deg == pytest.approx(-90, abs=0.5)  # rot90 turns it counter-clockwise
    assert register(turned, replace(LIMITS, max_rotation_deg=5.0)).verdict == "refused"


def test_views_of_two_fields_are_refused_and_nothing_is_written(fields: Path, tmp_path: Path) -> None:
    wrong = pair_of(fields / "S01a" / "image" / "PPL.tif", fields / "S02a" / "image" / "XPL45.tif")
    found = register(wrong, out=tmp_path / "out.tif", picture=tmp_path / "look.png")
    assert found.verdict == "refused"
    assert "another field" in found.reason
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("which", ["fixed", "moving"])
def test_a_blank_view_is_refused_with_the_name_of_its_file(views: Pair, tmp_path: Path, which: str) -> None:
    blank = tmp_path / "empty field.tif"
    write_tiff(blank, np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8))
    pair = replace(views, fixed=blank) if which == "fixed" else replace(views, moving=blank)
    found = register(pair, out=tmp_path / "out.tif", picture=tmp_path / "look.png")
    assert found.verdict == "refused"
    assert found.reason.startswith("empty field.tif: it is blank")
    assert {path.name for path in tmp_path.iterdir()} == {"empty field.tif"}


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (replace(LIMITS, max_residual_px=0.01), "more than 0.01"),
        (replace(LIMITS, min_score=1.01), "is below 1.01"),
    ],
)
def test_a_view_beyond_a_limit_is_refused_and_only_its_picture_is_written(
    views: Pair, tmp_path: Path, limits: PairLimits, says: str
) -> None:
    found = register(views, limits, out=tmp_path / "out.tif", picture=tmp_path / "look.png")
    assert found.verdict == "refused"
    assert says in found.reason
    assert [path.name for path in tmp_path.iterdir()] == ["look.png"]
    look = probe(tmp_path / "look.png")
    assert look.height > 50
    assert look.width > 50


def test_marked_places_stand_for_a_search_of_views(views: Pair, fields: Path, tmp_path: Path) -> None:
    truth = truth_of(fields / "S02a", "XPL45")
    marked = mark(tmp_path / "landmarks.csv", truth, side_px=SIZE_PX)
    found = register(replace(views, landmarks=marked), out=tmp_path / "out.tif")
    assert (found.verdict, found.method, found.inliers) == ("accepted", "landmarks, thin-plate spline", 9)
    assert apart_px(found, truth, side_px=SIZE_PX) < 0.2
    expected, _ = resample_window(pixels_of(views.moving), found.warp, Window(0, 0, SIZE_PX, SIZE_PX))
    np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), expected)


def test_a_marked_place_that_contradicts_the_others_is_told(
    views: Pair, fields: Path, tmp_path: Path
) -> None:
    marked = mark(tmp_path / "landmarks.csv", truth_of(fields / "S02a", "XPL45"), side_px=SIZE_PX)
    lines = marked.read_text().splitlines()
    lines[4] = "57.6,144,120,90"
    marked.write_text("\n".join(lines))
    found = register(replace(views, landmarks=marked))
    assert found.verdict == "refused"
    assert "pair 4 lies" in found.reason


def test_a_map_is_found_where_the_truth_says(coarse: Pair, mapped: Path, tmp_path: Path) -> None:
    found = register(coarse, out=tmp_path / "out.tif", picture=tmp_path / "look.png")
    assert (found.verdict, found.reason) == ("accepted", "")
    scale = truth_of(mapped, "map")[0, 0]
    side_px = probe(coarse.moving).width
    assert apart_px(found, truth_of(mapped, "map"), side_px=side_px) < 0.5 * scale
    assert probe(tmp_path / "look.png").width > 50
    colors = pixels_of(coarse.moving)
    numbers = np.arange(colors.shape[0] * colors.shape[1], dtype=np.int32).reshape(colors.shape[:2])
    places, inside = resample_labels(numbers, found.warp, Window(0, 0, MAPPED_PX, MAPPED_PX))
    expected = np.where(inside[..., np.newaxis], colors.reshape(-1, 3)[places], 0)
    np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), expected)
    assert probe(tmp_path / "out.tif").pixel_size.um == pytest.approx(PIXEL_SIZE_UM)


def test_marked_places_stand_for_a_search_of_a_map(coarse: Pair, mapped: Path, tmp_path: Path) -> None:
    truth, side_px = truth_of(mapped, "map"), probe(coarse.moving).width
    marked = mark(tmp_path / "landmarks.csv", truth, side_px=side_px)
    found = register(replace(coarse, landmarks=marked), out=tmp_path / "out.tif")
    assert (found.verdict, found.inliers) == ("accepted", 9)
    assert apart_px(found, truth, side_px=side_px) < 0.5
    kept = {tuple(color) for color in pixels_of(coarse.moving).reshape(-1, 3).tolist()} | {(0, 0, 0)}
    assert {tuple(color) for color in pixels_of(tmp_path / "out.tif").reshape(-1, 3).tolist()} <= kept


def test_the_map_of_another_field_is_refused(coarse: Pair, fields: Path, tmp_path: Path) -> None:
    wrong = replace(coarse, moving=fields / "S02a" / "truth" / "mineral_map.png")
    found = register(wrong, out=tmp_path / "out.tif", picture=tmp_path / "look.png")
    assert found.verdict == "refused"
    assert found.reason
    assert not (tmp_path / "out.tif").exists()
    assert (tmp_path / "look.png").exists() == (found.moving_to_fixed is not None)


def test_a_refused_map_has_a_picture_too(coarse: Pair, tmp_path: Path) -> None:
    found = register(
        coarse,
        replace(LIMITS, max_residual_px=0.01),
        out=tmp_path / "out.tif",
        picture=tmp_path / "look.png",
    )
    assert found.verdict == "refused"
    assert "map px apart" in found.reason
    assert [path.name for path in tmp_path.iterdir()] == ["look.png"]


def test_a_map_without_a_pixel_size_is_refused(coarse: Pair, mapped: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"mineral_map\.png: an unknown pixel size.*--moving-um"):
        register(replace(coarse, moving_um=None))
    write_tiff(tmp_path / "photo.tif", pixels_of(coarse.fixed), pixel_size_um=None)
    with pytest.raises(DataFault, match=r"photo\.tif: an unknown pixel size.*--pixel-um"):
        register(replace(coarse, fixed=tmp_path / "photo.tif"))
    stated = replace(coarse, fixed=tmp_path / "photo.tif", fixed_um=PIXEL_SIZE_UM)
    assert register(stated).to_row() == register(coarse).to_row()


@pytest.mark.parametrize(("count", "usable"), [(254, True), (255, False), (4000, False)])
def test_a_map_of_too_many_colors_is_refused(coarse: Pair, tmp_path: Path, count: int, usable: bool) -> None:
    numbers = np.arange(90 * 90).reshape(90, 90) % count
    shades = np.stack([numbers % 256, numbers // 256, np.full_like(numbers, 7)], axis=2).astype(np.uint8)
    write_png(tmp_path / "map.png", shades)
    pair = replace(coarse, moving=tmp_path / "map.png")
    if usable:
        assert register(pair).verdict == "refused"
    else:
        with pytest.raises(DataFault, match=rf"map\.png: {count} colours; expected at most 254.*not JPEG"):
            register(pair)


@pytest.mark.parametrize("option", ["out", "picture"])
def test_an_output_that_is_there_is_kept_unless_told_otherwise(
    views: Pair, tmp_path: Path, option: str
) -> None:
    place = tmp_path / ("out.tif" if option == "out" else "look.png")
    place.write_bytes(b"kept")
    for dry_run in (False, True):
        with pytest.raises(ConfigurationError, match=r"there already.*--overwrite"):
            register(views, **{option: place}, dry_run=dry_run)  # type: ignore[arg-type]
    assert place.read_bytes() == b"kept"
    register(views, **{option: place}, overwrite=True)  # type: ignore[arg-type]
    assert probe(place).height > 50


@pytest.mark.parametrize("option", ["out", "picture"])
@pytest.mark.parametrize("which", ["fixed", "moving", "landmarks"])
def test_an_input_is_never_written_to(views: Pair, tmp_path: Path, which: str, option: str) -> None:
    (tmp_path / "fixed").symlink_to(views.fixed)
    (tmp_path / "moving").symlink_to(views.moving)
    (tmp_path / "landmarks").write_text(",".join(LANDMARKS))
    before = {path: path.read_bytes() for path in (views.fixed, views.moving, tmp_path / "landmarks")}
    pair = replace(views, landmarks=tmp_path / "landmarks")
    with pytest.raises(ConfigurationError, match="an input"):
        register(pair, **{option: tmp_path / "." / which}, overwrite=True)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("option", ["out", "picture"])
def test_a_folder_is_no_output(views: Pair, tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigurationError, match="a folder"):
        register(views, **{option: tmp_path}, overwrite=True)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_the_same_and_writes_nothing(views: Pair, coarse: Pair, tmp_path: Path) -> None:
    for number, pair in enumerate((views, coarse)):
        dry = register(pair, out=tmp_path / "o" / "out.tif", picture=tmp_path / "look.png", dry_run=True)
        assert list(tmp_path.iterdir()) == []
        folder = tmp_path.parent / f"{tmp_path.name}_{number}"
        wet = register(pair, out=folder / "out.tif", picture=folder / "look.png")
        assert {path.name for path in folder.iterdir()} == {"out.tif", "look.png"}
        assert dry.to_row() == wet.to_row()
