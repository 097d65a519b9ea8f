import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mineralseg.stages.workspace import Workspace

# ruff: noqa: PLC0415 - heavy imports stay in the fixtures that need them; most tests need none


@pytest.fixture(scope="session", autouse=True)
def _by_itself() -> Iterator[None]:
    """Keep tests away from servers that the shell names, and libraries from calling home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small synthetic slides of three specimens, in the guide's layout; not to be changed."""
    from tests.workspaces import make_slides

    folder = tmp_path_factory.mktemp("slides") / "set"
    make_slides(folder)
    return folder


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> "Workspace":
    from tests.workspaces import make_workspace, prepare

    workspace = make_workspace(tmp_path_factory.mktemp("prepared") / "ws", slides)
    prepare(workspace)
    return workspace


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory: pytest.TempPathFactory, prepared_once: "Workspace") -> "Workspace":
    """A workspace whose model is trained, evaluated and packaged on record, registered and promoted."""
    from mineralseg.core.progress import silent
    from mineralseg.stages.evaluate import evaluate_model
    from mineralseg.stages.package import package_model
    from mineralseg.stages.register import promote_version, register_bundle
    from mineralseg.stages.runs import MlflowRunBook
    from mineralseg.stages.train import train_model
    from tests.workspaces import copy_of

    workspace = copy_of(prepared_once, tmp_path_factory.mktemp("recorded") / "ws")
    params = workspace.params()
    book = MlflowRunBook(workspace, experiment=params.project.name)
    train_model(params, workspace, runs=book, progress=silent)
    evaluate_model(params, workspace, runs=book, progress=silent)
    package_model(params, workspace, progress=silent)
    register_bundle(params, workspace)
    promote_version(params, workspace, "@candidate")
    return workspace


@pytest.fixture
def raw_workspace(tmp_path: Path, slides: Path) -> "Workspace":
    """A workspace of which nothing was made yet."""
    from tests.workspaces import make_workspace

    return make_workspace(tmp_path / "ws", slides)


@pytest.fixture
def prepared(tmp_path: Path, prepared_once: "Workspace") -> "Workspace":
    """A workspace after ingest, align, label and split."""
    from tests.workspaces import copy_of

    return copy_of(prepared_once, tmp_path / "ws")


@pytest.fixture
def recorded(tmp_path: Path, recorded_once: "Workspace") -> "Workspace":
    """A workspace with a champion, all on record in its own MLflow store."""
    from tests.workspaces import copy_of

    return copy_of(recorded_once, tmp_path / "ws")
