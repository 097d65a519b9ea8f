"""What MLflow shows of a run, and the registry of versions."""

import json
import shutil
from pathlib import Path

import pytest

from mineralseg.core.progress import silent
from mineralseg.errors import ConfigurationError, UntrustedArtefact
from mineralseg.io.files import read_json
from mineralseg.io.programs import run_git
from mineralseg.io.tables import read_legend
from mineralseg.models.bundle import load_bundle
from mineralseg.stages.register import fetch_bundle, open_registry, promote_version, register_bundle
from mineralseg.stages.runs import MlflowRunBook
from mineralseg.stages.train import identity_tags, train_model
from mineralseg.stages.workspace import Workspace
from mineralseg.tracking.registry import Version
from mineralseg.tracking.runs import RunInfo, find_run
from tests.stages.test_training import Interrupted, interrupt_after
from tests.workspaces import change_params


def run_of(workspace: Workspace) -> tuple[MlflowRunBook, RunInfo]:
    book = MlflowRunBook(workspace, experiment=workspace.params().project.name)
    info = find_run(book.store, load_bundle(workspace.model).spec.training["fingerprint"])
    assert info is not None
    return book, info


def artifacts(book: MlflowRunBook, run_id: str) -> set[str]:
    found: set[str] = set()
    folders = [""]
    while folders:
        for entry in book.store.client.list_artifacts(run_id, folders.pop()):
            (folders.append if entry.is_dir else found.add)(entry.path)
    return found


def test_a_run_shows_parameters_scores_lineage_data_and_pictures(recorded_once: Workspace) -> None:
    book, info = run_of(recorded_once)
    params, legend = recorded_once.params(), read_legend(recorded_once.legend_file)
    assert info.status == "FINISHED"
    assert info.params == {key: str(value) for key, value in params.flat().items()}
    history = book.store.client.get_metric_history
    steps = list(range(1, params.train.epochs + 1))
    for metric in ("train/loss", "train/learning_rate", "val/mean_iou", "val/pixel_accuracy"):
        assert [point.step for point in history(info.run_id, metric)] == steps, metric
    scored = read_json(recorded_once.report("train"))["val_iou"]
    shown = {name for name in legend.names if f"val/iou/{name}" in info.metrics}
    assert shown >= {name for name, value in scored.items() if value is not None}
    report = read_json(recorded_once.report("evaluate"))
    assert info.metrics["test/mean_iou"] == report["mean_iou"]
    for name, value in report["iou"].items():
        assert info.metrics.get(f"test/iou/{name}") == value
    identity = load_bundle(recorded_once.model).spec.training
    assert identity_tags(identity).items() <= info.tags.items()
    inputs = book.store.client.get_run(info.run_id).inputs
    assert inputs is not None
    contexts = {
        next(tag.value for tag in each.tags if tag.key == "mlflow.data.context")
        for each in inputs.dataset_inputs
    }
    assert contexts == {"training", "validation"}
    files = artifacts(book, info.run_id)
    pictures = {f"{n}_{kind}.png" for kind in ("overlay", "errors") for n in report["samples"]}
    assert files == {"confusion.png", "model-card.md"} | pictures
    assert info.tags["mlflow.note.content"].startswith("# tiny: deeplabv3plus / tu-lcnet_050")


def test_a_run_in_a_repository_names_commit_and_data(prepared: Workspace) -> None:
    run_git(prepared.root, "init", "--quiet")
    run_git(prepared.root, "add", "params.yaml", "samples.csv")
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    run_git(prepared.root, *identity, "commit", "--quiet", "--message", "start")
    (prepared.root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  align:\n    outs:\n"
        "    - path: data/aligned\n      md5: abc.dir\n    - path: model\n      md5: old.dir\n"
    )
    book = MlflowRunBook(prepared, experiment="tiny")
    train_model(prepared.params(), prepared, runs=book, progress=silent)
    _, info = run_of(prepared)
    assert info.tags["git.commit"] == run_git(prepared.root, "rev-parse", "HEAD").strip()
    assert info.tags["git.dirty"] == "false"
    assert info.tags["dvc.data/aligned"] == "abc.dir"
    assert "dvc.model" not in info.tags  # of the run before, while this one trains


def test_an_interrupted_run_goes_on_under_its_id(prepared: Workspace) -> None:
    book = MlflowRunBook(prepared, experiment="tiny")
    with pytest.raises(Interrupted):
        train_model(prepared.params(), prepared, runs=book, progress=interrupt_after(1))
    [interrupted] = book.store.client.search_runs([book.store.experiment_id])
    assert interrupted.info.status == "FAILED"
    train_model(prepared.params(), prepared, runs=book, progress=silent)
    _, info = run_of(prepared)
    assert info.run_id == interrupted.info.run_id
    steps = [point.step for point in book.store.client.get_metric_history(info.run_id, "train/loss")]
    assert steps == [1, 2]


def test_registering_again_gives_the_version_that_is_there(recorded: Workspace) -> None:
    params = recorded.params()
    [version] = open_registry(params, recorded).versions()
    again = register_bundle(params, recorded)
    assert again == version
    assert version.run_id == run_of(recorded)[1].run_id
    assert open_registry(params, recorded).versions() == [version]


def changed_bundle(workspace: Workspace) -> Version:
    """Register a second bundle: the same weights with another scale of use."""
    path = workspace.bundle / "bundle.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"overlap_px": content["overlap_px"] // 2}))
    return register_bundle(workspace.params(), workspace)


def test_a_new_version_is_candidate_and_promotion_moves_the_aliases(recorded: Workspace) -> None:
    params = recorded.params()
    [first] = open_registry(params, recorded).versions()
    assert (first.number, first.aliases) == (1, ("champion",))
    second = changed_bundle(recorded)
    assert (second.number, second.aliases) == (2, ("candidate",))
    promotion = promote_version(params, recorded, "@candidate")
    assert (promotion.champion.number, promotion.previous, promotion.changed) == (2, 1, True)
    aliases = {v.number: v.aliases for v in open_registry(params, recorded).versions()}
    assert aliases == {1: ("previous",), 2: ("champion",)}
    assert not promote_version(params, recorded, "2").changed
    back = promote_version(params, recorded, "@previous")
    assert (back.champion.number, back.previous) == (1, 2)


def test_promoting_what_is_not_there_lists_what_is(recorded: Workspace) -> None:
    with pytest.raises(ConfigurationError, match=r"a number \(1\) or an alias \(@champion\)"):
        promote_version(recorded.params(), recorded, "7")


@pytest.mark.parametrize("selector", ["1", "@champion", "latest"])
def test_a_fetched_bundle_is_the_registered_one(recorded: Workspace, selector: str) -> None:
    version, bundle = fetch_bundle(recorded.params(), recorded, selector)
    assert version.number == 1
    assert bundle.spec == load_bundle(recorded.bundle).spec


@pytest.mark.parametrize("name", ["weights.safetensors", "bundle.json"])
def test_a_bundle_is_fetched_once_and_all_of_it_checked_every_time(recorded: Workspace, name: str) -> None:
    fetch_bundle(recorded.params(), recorded, "1")
    [folder] = (recorded.private / "models").iterdir()
    shutil.rmtree(recorded.private / "artifacts")  # the copy is enough from now on
    fetch_bundle(recorded.params(), recorded, "1")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"quartz", b"Quartz") + b" ")
    with pytest.raises(UntrustedArtefact, match="as the registry says"):
        fetch_bundle(recorded.params(), recorded, "1")


def test_a_version_that_was_not_registered_by_this_program_is_not_used(recorded: Workspace) -> None:
    book = MlflowRunBook(recorded, experiment="tiny")
    for tag in ("mineralseg.bundle_sha256", "mineralseg.weights_sha256"):
        book.store.client.delete_model_version_tag("tiny", "1", tag)
    with pytest.raises(UntrustedArtefact, match="no recorded hash"):
        fetch_bundle(recorded.params(), recorded, "1")


def test_changed_files_in_the_store_are_not_used(recorded: Workspace) -> None:
    [weights] = (recorded.private / "artifacts").rglob("weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(UntrustedArtefact, match="files with hash"):
        fetch_bundle(recorded.params(), recorded, "1")
    assert not list((recorded.private / "models").glob("tiny-*"))


def test_a_model_that_came_from_a_cache_gets_a_run_when_it_is_registered(
    recorded: Workspace, recorded_once: Workspace
) -> None:
    shutil.rmtree(recorded.private)
    version = register_bundle(recorded.params(), recorded)
    assert (version.number, version.aliases) == (1, ("candidate",))
    (old_book, old), (book, info) = run_of(recorded_once), run_of(recorded)
    assert version.run_id == info.run_id
    assert info.tags["mineralseg.restored"] == "true"
    assert info.params == old.params
    assert info.metrics == pytest.approx(old.metrics, abs=1e-6)
    assert artifacts(book, info.run_id) == artifacts(old_book, old.run_id)
    assert register_bundle(recorded.params(), recorded).number == 1
    assert len(book.store.client.search_runs([book.store.experiment_id])) == 1


def test_a_run_is_not_written_from_other_parameters(recorded: Workspace) -> None:
    shutil.rmtree(recorded.private)
    change_params(recorded, {"train.learning_rate": 0.9})
    with pytest.raises(ConfigurationError, match="parameters that did not make this bundle"):
        register_bundle(recorded.params(), recorded)


def test_there_is_nothing_to_register_before_a_bundle(prepared: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="dvc repro"):
        register_bundle(prepared.params(), prepared)


def test_a_bundle_whose_weights_were_changed_is_not_registered(recorded: Workspace) -> None:
    weights = recorded.bundle / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(UntrustedArtefact):
        register_bundle(recorded.params(), recorded)


def test_equal_inputs_give_an_equal_bundle(recorded_once: Workspace, tmp_path: Path) -> None:
    """Nothing of the clock, the host or the run may be in it."""
    text = (recorded_once.bundle / "bundle.json").read_text() + (
        recorded_once.bundle / "README.md"
    ).read_text()
    _, info = run_of(recorded_once)
    for private in (info.run_id, str(recorded_once.root), str(tmp_path.parent)):
        assert private not in text
