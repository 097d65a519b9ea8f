"""Training: the same bytes whenever it is run, interrupted or not."""

from typing import Any

import pytest

from mineralseg.core.progress import Progress, silent
from mineralseg.engine import checkpoint
from mineralseg.engine.checkpoint import load_checkpoint
from mineralseg.errors import Busy, DataFault
from mineralseg.io.files import hold_lock, read_json
from mineralseg.io.raster import open_raster
from mineralseg.io.tables import read_csv
from mineralseg.models.bundle import load_bundle
from mineralseg.stages.evaluate import evaluate_model
from mineralseg.stages.package import package_model
from mineralseg.stages.runs import NoRunBook
from mineralseg.stages.train import train_model
from mineralseg.stages.workspace import Workspace
from tests.workspaces import SAMPLES, change_params, darken, prepare, raw_image, write_tiff


class Interrupted(Exception):
    pass


def interrupt_after(epoch: int) -> Progress:
    """Return a listener that breaks off the training when it hears of the end of an epoch."""

    def told(line: str) -> None:
        if line.startswith(f"train: epoch {epoch} of"):
            raise Interrupted

    return told


def train(workspace: Workspace, *, progress: Progress = silent) -> dict[str, Any]:
    return train_model(workspace.params(), workspace, runs=NoRunBook(), progress=progress)


def weights_sha256(workspace: Workspace) -> str:
    return load_bundle(workspace.model).spec.weights_sha256


def test_training_again_elsewhere_gives_the_same_weights(
    prepared: Workspace, recorded_once: Workspace
) -> None:
    train(prepared)
    assert weights_sha256(prepared) == weights_sha256(recorded_once)
    assert (prepared.model / "bundle.json").read_bytes() == (recorded_once.model / "bundle.json").read_bytes()


def test_another_seed_gives_other_weights(prepared: Workspace, recorded_once: Workspace) -> None:
    change_params(
        prepared, {"project.seed": 1, "split": {"kind": "sample_holdout", **held_out(recorded_once)}}
    )
    train(prepared)
    assert weights_sha256(prepared) != weights_sha256(recorded_once)


def held_out(workspace: Workspace) -> dict[str, list[str]]:
    parts = read_json(workspace.splits)["parts"]
    return {part: parts[part] for part in ("val", "test")}


def test_an_interrupted_training_goes_on_to_the_same_weights(
    prepared: Workspace, recorded_once: Workspace
) -> None:
    told: list[str] = []
    with pytest.raises(Interrupted):
        train(prepared, progress=interrupt_after(1))
    assert not (prepared.model / "bundle.json").exists()
    train(prepared, progress=told.append)
    assert "train: goes on after epoch 1 of 2" in told
    assert not [line for line in told if line.startswith("train: epoch 1 of")]
    assert weights_sha256(prepared) == weights_sha256(recorded_once)
    assert read_csv(prepared.root / "reports" / "history.csv") == read_csv(
        recorded_once.root / "reports" / "history.csv"
    )


def test_a_training_killed_after_its_last_epoch_only_writes_its_model(
    prepared: Workspace, recorded_once: Workspace
) -> None:
    with pytest.raises(Interrupted):
        train(prepared, progress=interrupt_after(2))
    told: list[str] = []
    train(prepared, progress=told.append)
    assert "train: all 2 epochs were done before" in told
    assert weights_sha256(prepared) == weights_sha256(recorded_once)


def test_a_damaged_checkpoint_falls_back_on_the_one_before(
    prepared: Workspace, recorded_once: Workspace
) -> None:
    train(prepared)
    [folder] = prepared.checkpoints.iterdir()
    newest = max(folder.glob("epoch-*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    told: list[str] = []
    train(prepared, progress=told.append)
    assert [line for line in told if "is damaged" in line]
    assert "train: goes on after epoch 1 of 2" in told
    assert weights_sha256(prepared) == weights_sha256(recorded_once)


def test_other_data_or_parameters_start_from_the_beginning(prepared: Workspace) -> None:
    with pytest.raises(Interrupted):
        train(prepared, progress=interrupt_after(1))
    train_sample = read_json(prepared.splits)["parts"]["train"][0]
    darken(raw_image(prepared, train_sample))
    prepare(prepared)
    told: list[str] = []
    train(prepared, progress=told.append)
    assert [line for line in told if line.startswith("train: epoch 1 of 2")]
    change_params(prepared, {"train.learning_rate": 0.0005})
    train(prepared, progress=told.append)
    assert len([line for line in told if line.startswith("train: epoch 1 of 2")]) == 2


def test_checkpoints_of_finished_trainings_go_and_of_interrupted_ones_stay(prepared: Workspace) -> None:
    with pytest.raises(Interrupted):
        train(prepared, progress=interrupt_after(1))
    [interrupted] = prepared.checkpoints.iterdir()
    for rate in (0.0011, 0.0012):
        change_params(prepared, {"train.learning_rate": rate})
        train(prepared)
    kept = set(prepared.checkpoints.iterdir())
    assert len(kept) == 2
    assert interrupted in kept
    assert load_checkpoint(interrupted, warn=silent) is not None


def test_two_trainings_at_once_are_kept_apart(prepared: Workspace) -> None:
    with hold_lock(prepared.lock("train"), purpose="training"), pytest.raises(Busy, match="training"):
        train(prepared)


def test_working_copies_that_nothing_needs_are_removed(prepared: Workspace) -> None:
    train(prepared)
    before = {path.name for path in prepared.working_copies.iterdir()}
    darken(raw_image(prepared, read_json(prepared.splits)["parts"]["train"][0]))
    prepare(prepared)
    train(prepared)
    after = {path.name for path in prepared.working_copies.iterdir()}
    assert len(after) == len(before)
    assert len(after - before) == 1


def test_every_view_by_itself_from_training_to_bundle(prepared: Workspace) -> None:
    params = change_params(prepared, {"data.mode": "separate"})
    train(prepared)
    scores = evaluate_model(params, prepared, runs=NoRunBook(), progress=silent)
    package_model(params, prepared, progress=silent)
    spec = load_bundle(prepared.bundle).spec
    assert (spec.mode, spec.channels) == ("separate", 3)
    assert [view.illumination for view in spec.views] == ["PPL", "XPL45"]
    assert scores["samples"] == read_json(prepared.splits)["parts"]["test"]
    assert spec.scores is not None
    assert spec.scores.mean_iou == scores["mean_iou"]


def test_separate_views_must_agree_in_bands(prepared: Workspace) -> None:
    """A network of single views cannot take one in colour and one in grey."""
    for name in SAMPLES:
        path = raw_image(prepared, name, "XPL45")
        with open_raster(path) as source:
            grey = source.read_all()[..., 0]
        write_tiff(path, grey)
    change_params(prepared, {"data.mode": "separate"})
    prepare(prepared)
    with pytest.raises(DataFault, match="XPL45 has 1"):
        train(prepared)


def test_a_checkpoint_is_written_every_epoch_and_two_are_kept(
    prepared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    real = checkpoint.save_checkpoint

    def spy(folder: Any, state: Any, *, run_id: str) -> None:
        saved.append(state.epoch)
        real(folder, state, run_id=run_id)

    monkeypatch.setattr("mineralseg.stages.fitting.save_checkpoint", spy)
    change_params(prepared, {"train.epochs": 3, "train.batches_per_epoch": 1})
    report = train(prepared)
    assert saved == [1, 2, 3]
    assert report["epochs"] == 3
    [folder] = prepared.checkpoints.iterdir()
    assert len(list(folder.glob("epoch-*.pt"))) == 2
