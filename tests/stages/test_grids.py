"""Loose views of a model that was trained on registered ones: brought on one grid first, as its own were."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mineralseg.config.data import AlignByRegistration
from mineralseg.core.legend import IGNORE
from mineralseg.core.progress import silent
from mineralseg.core.split import SampleRow
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.io.files import read_json
from mineralseg.io.raster import open_raster, read_mask
from mineralseg.io.tables import read_csv, write_samples
from mineralseg.models.bundle import Bundle, load_bundle
from mineralseg.stages.evaluate import evaluate_bundle, evaluate_model, folder_samples
from mineralseg.stages.grids import open_on_grid
from mineralseg.stages.groups import find_groups
from mineralseg.stages.package import package_model
from mineralseg.stages.predict import GroupResult, ModelIdentity, predict_groups
from mineralseg.stages.runs import NoRunBook
from mineralseg.stages.scoring import Predictor
from mineralseg.stages.train import train_model
from mineralseg.stages.workspace import Workspace
from tests.workspaces import REGISTER, change_params, make_slides, make_workspace, prepare, write_tiff

SIZE_PX = 288
ALIGN = AlignByRegistration.model_validate(REGISTER)
GROUPS = ("S01a", "S03b")
FILES = {"labels.tif", "confidence.tif", "overlay.png", "modal.csv", "modal.json", "run.json"}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides whose XPL45 lies a few pixels beside their PPL; not to be changed."""
    folder = tmp_path_factory.mktemp("loose") / "set"
    make_slides(folder, size_px=SIZE_PX, seed=11)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, fields: Path) -> Workspace:
    """A workspace with a model of registered views, trained, evaluated and packaged; not to be changed."""
    made = make_workspace(tmp_path_factory.mktemp("registered") / "ws", fields)
    params = change_params(made, {"align": REGISTER, "train.epochs": 1})
    prepare(made)
    train_model(params, made, runs=NoRunBook(), progress=silent)
    evaluate_model(params, made, runs=NoRunBook(), progress=silent)
    package_model(params, made, progress=silent)
    return made


@pytest.fixture(scope="module")
def bundle(workspace: Workspace) -> Bundle:
    return load_bundle(workspace.bundle)


@pytest.fixture(scope="module")
def predictor(bundle: Bundle) -> Predictor:
    return Predictor(bundle)


@pytest.fixture(scope="module")
def as_they_lie(bundle: Bundle) -> Predictor:
    """The same model, told that views come aligned."""
    return Predictor(bundle.with_alignment(None))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, fields: Path, predictor: Predictor) -> Path:
    """The maps of two groups of loose views; not to be changed."""
    folder = tmp_path_factory.mktemp("maps")
    (folder / "in").mkdir()
    copy_views(fields, folder / "in", *GROUPS)
    results = run(predictor, folder / "in", to=folder / "out")
    assert [result.status for result in results] == ["done", "done"]
    return folder / "out"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def copy_views(fields: Path, to: Path, *groups: str) -> None:
    for group in groups:
        for view in ("PPL", "XPL45"):
            shutil.copy(fields / group / "image" / f"{view}.tif", to / f"{group}_{view}.tif")


def run(predictor: Predictor, inputs: Path, *, to: Path, overwrite: bool = False) -> list[GroupResult]:
    model = ModelIdentity("tiny", 1, predictor.spec.weights_sha256)
    groups = find_groups([inputs])
    return list(predict_groups(predictor, groups, model=model, out=to, overwrite=overwrite, progress=silent))


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with open_raster(path) as raster:
        return raster.read_all()


def seen_by_both(fields: Path, group: str) -> NDArray[np.bool_]:
    """Return where, by the truth of the drawing, a pixel of PPL is one of XPL45 too."""
    matrix = np.linalg.inv(
        np.array(read_json(fields / group / "truth" / "transforms.json")["views"]["XPL45"])
    )
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix.T
    return ((places[..., :2] >= -0.5) & (places[..., :2] < SIZE_PX - 0.5)).all(axis=-1)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name not in (".lock", ".mineralseg")]


def test_a_model_of_registered_views_carries_how_they_were(workspace: Workspace, bundle: Bundle) -> None:
    assert bundle.spec.align == ALIGN
    assert workspace.params().align == ALIGN


def test_maps_say_nothing_where_a_view_has_no_pixels(done: Path, fields: Path) -> None:
    for group in GROUPS:
        truth = seen_by_both(fields, group)
        valid = read_mask(done / group / "labels.tif") != IGNORE
        assert 0 < np.count_nonzero(~truth) < 0.1 * truth.size
        assert np.count_nonzero(valid != truth) < 1.5 * 4 * SIZE_PX  # 1.5 px along the edges
        assert np.count_nonzero(~valid) > 0.3 * np.count_nonzero(~truth)
        confidence = read_mask(done / group / "confidence.tif")
        assert (confidence[~valid] == IGNORE).all()
        assert confidence[valid].max() <= 100


def test_maps_are_those_of_the_views_that_the_workspace_registered(
    done: Path, as_they_lie: Predictor, workspace: Workspace, inputs: Path, out: Path
) -> None:
    for view in ("PPL", "XPL45"):
        shutil.copy(workspace.aligned / "S01a" / f"{view}.tif", inputs / f"S01a_{view}.tif")
    assert run(as_they_lie, inputs, to=out)[0].status == "done"
    valid = pixels_of(workspace.aligned / "S01a" / "valid.tif")[..., 0] > 0
    for name in ("labels.tif", "confidence.tif"):
        known = read_mask(out / "S01a" / name)
        assert IGNORE not in known
        np.testing.assert_array_equal(read_mask(done / "S01a" / name), np.where(valid, known, IGNORE))
    assert read_json(out / "S01a" / "run.json")["alignment"] == {}


def test_modes_are_shares_of_what_both_views_show(done: Path, bundle: Bundle) -> None:
    for group in GROUPS:
        labels = read_mask(done / group / "labels.tif")
        rows = {row["mineral"]: row for row in read_csv(done / group / "modal.csv")}
        known = np.count_nonzero(labels != IGNORE)
        for mineral in bundle.spec.legend.minerals:
            pixels = np.count_nonzero(labels == mineral.code)
            assert int(rows[mineral.name]["pixels"]) == pixels
            assert float(rows[mineral.name]["area_percent"]) == pytest.approx(100 * pixels / known, abs=1e-3)


def test_the_record_of_a_group_holds_how_its_views_lie(done: Path, workspace: Workspace) -> None:
    for group in GROUPS:
        [(name, row)] = read_json(done / group / "run.json")["alignment"].items()
        recorded = read_json(workspace.aligned / group / f"{name}.registration.json")
        assert (name, row["verdict"]) == ("XPL45", "accepted")
        assert row == {key: recorded[key] for key in row}


def test_maps_of_views_as_they_lie_are_other_maps(
    predictor: Predictor, as_they_lie: Predictor, fields: Path, inputs: Path, out: Path
) -> None:
    copy_views(fields, inputs, "S03b")
    assert run(as_they_lie, inputs, to=out)[0].status == "done"
    [refused] = run(predictor, inputs, to=out)
    assert isinstance(refused.error, ConfigurationError)
    assert "--overwrite" in str(refused.error)
    assert run(predictor, inputs, to=out, overwrite=True)[0].status == "done"
    assert run(predictor, inputs, to=out)[0].status == "skipped"


def test_nothing_but_the_results_is_left(
    done: Path, predictor: Predictor, fields: Path, inputs: Path, out: Path
) -> None:
    assert {path.name for path in done.iterdir()} == {*GROUPS, ".lock"}
    assert {path.name for path in (done / "S03b").iterdir()} == FILES
    copy_views(fields, inputs, "S01a")
    (out / "S01a" / ".tmp-killed").mkdir(parents=True)  # as a process that was killed leaves it
    (out / "S01a" / ".tmp-killed" / "view.npy").write_bytes(b"half")
    run(predictor, inputs, to=out)
    assert {path.name for path in (out / "S01a").iterdir()} == FILES
    assert {path.name for path in inputs.iterdir()} == {"S01a_PPL.tif", "S01a_XPL45.tif"}


def test_a_group_with_a_view_of_another_field_fails_alone(
    predictor: Predictor, fields: Path, inputs: Path, out: Path
) -> None:
    copy_views(fields, inputs, *GROUPS)
    shutil.copy(fields / "S02a" / "image" / "XPL45.tif", inputs / "S01a_XPL45.tif")
    bad, good = run(predictor, inputs, to=out)
    assert (bad.group, bad.status, bad.outputs) == ("S01a", "failed", {})
    assert isinstance(bad.error, DataFault)
    assert "group S01a: XPL45: " in str(bad.error)
    assert "another field" in bad.error.found
    assert "mineralseg register" in bad.error.fix
    assert (good.group, good.status) == ("S03b", "done")
    assert not (out / "S01a" / "run.json").exists()
    assert not (out / "S01a" / "labels.tif").exists()
    assert leftovers(out) == []


@pytest.mark.parametrize("view", ["PPL", "XPL45"])
def test_a_blank_view_fails_its_group(
    predictor: Predictor, fields: Path, inputs: Path, out: Path, view: str
) -> None:
    copy_views(fields, inputs, "S01a")
    write_tiff(inputs / f"S01a_{view}.tif", np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8))
    [bad] = run(predictor, inputs, to=out)
    assert "group S01a" in str(bad.error)
    assert "it is blank" in str(bad.error)
    assert leftovers(out) == []


def test_views_of_other_sizes_lie_on_the_grid_of_the_reference(
    predictor: Predictor, fields: Path, inputs: Path, out: Path
) -> None:
    copy_views(fields, inputs, "S01a")
    path = inputs / "S01a_XPL45.tif"
    write_tiff(path, pixels_of(path)[10:270, 5:280].copy())
    assert run(predictor, inputs, to=out)[0].status == "done"
    labels = read_mask(out / "S01a" / "labels.tif")
    assert labels.shape == (SIZE_PX, SIZE_PX)
    assert 0.8 < np.count_nonzero(labels != IGNORE) / labels.size < 0.95


def test_registered_views_live_as_long_as_the_block(bundle: Bundle, fields: Path, tmp_path: Path) -> None:
    paths = {name: fields / "S02a" / "image" / f"{name}.tif" for name in ("PPL", "XPL45")}
    scratch = tmp_path / "scratch"
    with open_on_grid(paths, bundle.spec.views, align=ALIGN, group="S02a", scratch=scratch) as placed:
        assert len(list(scratch.iterdir())) == 1
        np.testing.assert_array_equal(
            placed.views.read_rows(0, SIZE_PX)[..., :3], pixels_of(paths["PPL"])
        )  # the reference keeps every bit
        valid = placed.valid_rows(3, 40)
        assert valid.shape == (40, SIZE_PX)
        np.testing.assert_array_equal(valid, placed.valid_rows(0, SIZE_PX)[3:43])
    assert list(scratch.iterdir()) == []


def test_registered_views_go_when_the_block_fails(bundle: Bundle, fields: Path, tmp_path: Path) -> None:
    paths = {name: fields / "S02a" / "image" / f"{name}.tif" for name in ("PPL", "XPL45")}

    def fail() -> None:
        raise DataFault("map", found="not usable")

    with (
        pytest.raises(DataFault, match="not usable"),
        open_on_grid(paths, bundle.spec.views, align=ALIGN, group="S02a", scratch=tmp_path),
    ):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lone", ["PPL", "XPL45"])
def test_a_view_alone_needs_no_registration(bundle: Bundle, fields: Path, tmp_path: Path, lone: str) -> None:
    paths = {lone: fields / "S02a" / "image" / f"{lone}.tif"}
    specs = [spec for spec in bundle.spec.views if spec.illumination == lone]
    scratch = tmp_path / "scratch"
    with open_on_grid(paths, specs, align=ALIGN, group="S02a", scratch=scratch) as placed:
        assert placed.alignment == {}
        assert placed.valid_rows(0, 5).all()
        np.testing.assert_array_equal(placed.views.read_rows(0, SIZE_PX), pixels_of(paths[lone]))
    assert not scratch.exists()


def test_a_folder_scores_as_the_workspace_that_registered_it(
    workspace: Workspace, bundle: Bundle, fields: Path, tmp_path: Path
) -> None:
    names = read_json(workspace.splits)["parts"]["test"]
    for name in names:
        shutil.copytree(fields / name, tmp_path / "data" / name)
    shutil.copy(fields / "legend.yaml", tmp_path / "data")
    scratch = tmp_path / "scratch"
    samples = folder_samples(tmp_path / "data", bundle)
    scores = evaluate_bundle(bundle, samples, scratch=scratch, progress=silent)
    assert scores.model_dump(mode="json") == read_json(workspace.report("evaluate"))
    assert list(scratch.iterdir()) == []
    loose = folder_samples(tmp_path / "data", bundle.with_alignment(None))
    assert evaluate_bundle(bundle, loose, scratch=scratch, progress=silent) != scores
    assert leftovers(workspace.root) == []


def test_a_sample_may_name_its_own_reference(bundle: Bundle, fields: Path, tmp_path: Path) -> None:
    shutil.copytree(fields / "S01a", tmp_path / "data" / "S01a")
    shutil.copytree(fields / "S01b", tmp_path / "data" / "S01b")
    shutil.copy(fields / "legend.yaml", tmp_path / "data")
    rows = [SampleRow("S01a", "S01", reference="XPL45"), SampleRow("S01b", "S01")]
    write_samples(tmp_path / "data" / "samples.csv", rows)
    by_name = {sample.name: sample.align for sample in folder_samples(tmp_path / "data", bundle)}
    assert by_name == {"S01a": ALIGN.model_copy(update={"reference": "XPL45"}), "S01b": ALIGN}


def test_a_folder_with_a_view_of_another_field_is_refused(
    bundle: Bundle, fields: Path, tmp_path: Path
) -> None:
    shutil.copytree(fields / "S01a", tmp_path / "data" / "S01a")
    shutil.copy(fields / "legend.yaml", tmp_path / "data")
    shutil.copy(fields / "S02a" / "image" / "XPL45.tif", tmp_path / "data" / "S01a" / "image")
    samples = folder_samples(tmp_path / "data", bundle)
    with pytest.raises(DataFault, match=r"S01a: XPL45: .*another field"):
        evaluate_bundle(bundle, samples, scratch=tmp_path / "scratch", progress=silent)
    assert not (tmp_path / "scratch").exists() or list((tmp_path / "scratch").iterdir()) == []
