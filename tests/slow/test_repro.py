"""The pipeline under DVC, with the commands that a person types."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mineralseg.io.files import read_json
from mineralseg.io.tables import write_yaml
from mineralseg.stages.runs import MlflowRunBook
from mineralseg.stages.workspace import Workspace
from tests.slow.processes import (
    PROGRAM,
    kill,
    repro,
    run,
    stages_alive,
    start_repro,
    wait_until,
)
from tests.workspaces import SAMPLES, change_params, copy_of, darken, raw_image

pytestmark = pytest.mark.slow

STAGES = ["ingest", "align", "label", "split", "train", "evaluate", "package"]
EPOCHS = 6


@pytest.fixture(scope="module")
def git_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    config = tmp_path_factory.mktemp("home") / "gitconfig"
    config.write_text("[user]\n\tname = A\n\temail = a@example.org\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        yield


@pytest.fixture(scope="module")
def fresh(
    tmp_path_factory: pytest.TempPathFactory, slides: Path, prepared_once: Workspace, git_user: None
) -> Workspace:
    """A workspace as `mineralseg init` makes it, with parameters that train in seconds."""
    folder = tmp_path_factory.mktemp("repro")
    params = prepared_once.params().replace({"train.epochs": EPOCHS})
    write_yaml(folder / "params.yaml", params.model_dump(mode="json"))
    done = run(PROGRAM, "init", "ws", "--from", slides, "--params", "params.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    return Workspace.at(folder / "ws")


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory, fresh: Workspace) -> Workspace:
    """The same after an uninterrupted `dvc repro`."""
    workspace = copy_of(fresh, tmp_path_factory.mktemp("whole") / "ws")
    assert started(repro(workspace.root)) == STAGES
    return workspace


def started(said: str) -> list[str]:
    """Return the stages that ran, in order, by what each says of itself."""
    return [line.removesuffix(": starts") for line in said.splitlines() if line.endswith(": starts")]


def weights_sha256(workspace: Workspace) -> str:
    return str(read_json(workspace.bundle / "bundle.json")["weights_sha256"])


def checkpointed(workspace: Workspace) -> int:
    """Return the last epoch that a checkpoint was written of."""
    for pointer in workspace.checkpoints.glob("*/latest.json"):
        return int(read_json(pointer)["checkpoints"][0]["epoch"])
    return 0


def test_the_pipeline_makes_a_bundle_and_a_second_run_does_nothing(reproduced: Workspace) -> None:
    assert read_json(reproduced.bundle / "bundle.json")["scores"] == read_json(reproduced.report("evaluate"))
    said = repro(reproduced.root)
    assert started(said) == []
    assert "up to date" in said


def test_a_changed_image_redoes_that_sample_and_what_follows(reproduced: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(reproduced, tmp_path / "ws")
    sample = read_json(workspace.splits)["parts"]["train"][0]
    darken(raw_image(workspace, sample))
    assert started(repro(workspace.root)) == STAGES
    others = [name for name in SAMPLES if name != sample]
    for stage in ("ingest", "align"):
        report = read_json(workspace.report(stage))
        assert (report["redone"], report["reused"]) == ([sample], others), stage
    report = read_json(workspace.report("label"))
    assert (report["redone"], report["reused"]) == ([], SAMPLES)
    assert weights_sha256(workspace) != weights_sha256(reproduced)
    assert started(repro(workspace.root)) == []


def test_other_parameters_of_the_evaluation_do_not_train_again(reproduced: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(reproduced, tmp_path / "ws")
    change_params(workspace, {"eval.overlays": 1})
    assert started(repro(workspace.root)) == ["evaluate"]
    assert len(list(workspace.evaluation.glob("*_overlay.png"))) == 1


def test_another_mineralseg_is_not_used_before_it_is_accepted(reproduced: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(reproduced, tmp_path / "ws")
    text = workspace.code_file.read_text()
    workspace.code_file.write_text(text.replace("package: ", "package: 0"))
    done = run(PROGRAM, "check", folder=workspace.root)
    assert done.returncode == 3
    assert "another version of mineralseg (stages package)" in done.stderr
    assert run(PROGRAM, "init", ".", "--refresh-code", folder=workspace.root).returncode == 0
    assert workspace.code_file.read_text() == text
    assert started(repro(workspace.root)) == []


@pytest.mark.parametrize("group", [True, False], ids=["all processes", "dvc alone"])
def test_a_kill_in_the_middle_of_training_changes_nothing_of_the_result(
    fresh: Workspace, reproduced: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: bool
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")  # on some systems one that stays between DVC and its stages
    workspace = copy_of(fresh, tmp_path / "ws")
    process = start_repro(workspace.root, tmp_path / "log")
    wait_until(
        lambda: checkpointed(workspace) >= 2 or process.poll() is not None, seconds=120, what="no checkpoint"
    )
    kill(process, group=group)
    wait_until(lambda: not stages_alive(workspace.root), seconds=10, what="a stage outlives its pipeline")
    reached = checkpointed(workspace)
    assert 2 <= reached < EPOCHS, (tmp_path / "log").read_text()
    assert not workspace.bundle.exists()
    said = repro(workspace.root)
    assert started(said) == ["train", "evaluate", "package"]
    assert f"train: goes on after epoch {reached} of {EPOCHS}" in said
    assert weights_sha256(workspace) == weights_sha256(reproduced)
    assert (workspace.bundle / "bundle.json").read_bytes() == (reproduced.bundle / "bundle.json").read_bytes()
    assert started(repro(workspace.root)) == []
    [version] = register(workspace)
    assert version["version"] == 1
    assert run_tags(workspace, version["run_id"]).get("mineralseg.restored") is None


def register(workspace: Workspace) -> list[dict[str, object]]:
    """Register the bundle and return all versions."""
    done = run(PROGRAM, "models", "register", "--json", folder=workspace.root)
    assert done.returncode == 0, done.stderr
    listed = run(PROGRAM, "models", "list", "--json", folder=workspace.root)
    return [json.loads(line) for line in listed.stdout.splitlines()]


def run_tags(workspace: Workspace, run_id: object) -> dict[str, str]:
    book = MlflowRunBook(workspace, experiment=workspace.params().project.name)
    found = book.store.client.get_run(str(run_id))
    assert found.info.status == "FINISHED"
    return dict(found.data.tags)


def test_a_model_that_is_deleted_comes_back_from_the_cache_and_can_be_registered(
    reproduced: Workspace, tmp_path: Path
) -> None:
    workspace = copy_of(reproduced, tmp_path / "ws")
    shutil.rmtree(workspace.model)
    shutil.rmtree(workspace.private)
    assert started(repro(workspace.root)) == []
    assert weights_sha256(workspace) == weights_sha256(reproduced)
    [version] = register(workspace)
    assert (version["version"], version["aliases"]) == (1, ["candidate"])
    assert run_tags(workspace, version["run_id"])["mineralseg.restored"] == "true"


def test_the_run_of_the_pipeline_names_the_data_of_dvc(reproduced: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(reproduced, tmp_path / "ws")
    [version] = register(workspace)
    tags = run_tags(workspace, version["run_id"])
    assert len(tags["git.commit"]) == 40
    assert tags["git.dirty"] == "false"
    assert {"dvc.data/raw", "dvc.data/aligned", "dvc.data/labels"} <= set(tags)
