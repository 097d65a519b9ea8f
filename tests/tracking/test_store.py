import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from mineralseg.errors import Busy, ConfigurationError, EnvironmentFault
from mineralseg.tracking import local
from mineralseg.tracking.mlflow_api import MlflowException, address, reporting
from mineralseg.tracking.runs import tracked_run
from mineralseg.tracking.store import Store, open_store


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one run, one file and one registered version; copied, since making one is slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        workspace = tmp_path_factory.mktemp("template")
        store = open_store(workspace, experiment="minerals")
    with tracked_run(store, name="t", fingerprint="f1", tags={}, resume_run_id=None) as run:
        run.log_text("kept", "note.txt")
    model = store.client.create_logged_model(store.experiment_id, name="bundle")
    store.client.finalize_logged_model(model.model_id, "READY")
    store.client.create_registered_model("m")
    store.client.create_model_version("m", model.artifact_location)
    return workspace


@pytest.fixture
def workspace(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(template, tmp_path / "moved here")
    return tmp_path / "moved here"


def texts_in(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for table in tables for row in connection.execute(f'SELECT * FROM "{table}"')]  # noqa: S608
    return [value for row in rows for value in row if isinstance(value, str)]


def test_a_store_lies_inside_its_workspace_whatever_its_name(store: Store) -> None:
    inside = store.workspace / ".mineralseg"
    assert (inside / "mlflow.db").is_file()
    assert not list(inside.glob("*.building*"))
    with closing(sqlite3.connect(inside / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    experiment = store.client.get_experiment(store.experiment_id)
    assert experiment.artifact_location == (inside / "artifacts").as_uri()
    assert store.is_local
    assert store.moved_from is None


def test_opening_again_gives_the_same_experiment(store: Store) -> None:
    again = open_store(store.workspace, experiment="tests")
    assert again.experiment_id == store.experiment_id
    assert open_store(store.workspace, experiment=uuid.uuid4().hex).experiment_id != store.experiment_id


def test_nothing_is_written_to_the_current_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again = open_store(store.workspace, experiment="tests")
    with tracked_run(again, name="t", fingerprint="here", tags={}, resume_run_id=None) as run:
        run.log_text("x", "x.txt")
    assert not list(tmp_path.iterdir())


def test_a_moved_workspace_finds_its_files_again(workspace: Path, template: Path) -> None:
    store = open_store(workspace, experiment="minerals")
    assert store.moved_from == (template / ".mineralseg" / "artifacts").as_uri()
    database = workspace / ".mineralseg" / "mlflow.db"
    assert not [text for text in texts_in(database) if str(template) in text]
    [run] = store.client.search_runs([store.experiment_id])
    [note] = store.client.list_artifacts(run.info.run_id)
    assert note.path == "note.txt"
    downloaded = store.client.download_artifacts(run.info.run_id, "note.txt", str(workspace))
    assert Path(downloaded).read_text(encoding="utf-8") == "kept"
    assert open_store(workspace, experiment="minerals").moved_from is None


def test_moving_touches_only_what_lies_below_the_old_folder(workspace: Path) -> None:
    database = workspace / ".mineralseg" / "mlflow.db"
    old = "file:///old/.mineralseg/artifacts"
    others = ["s3://bucket/file:///old/.mineralseg/artifacts", "file:///old/.mineralseg/artifacts2/x"]
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for number, location in enumerate([old, f"{old}/7/x", *others]):
            connection.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
                "VALUES (?, ?, ?, 'active')",
                (100 + number, f"e{number}", location),
            )
        local.relocate_database(database, old=old, new="file:///new")
        found = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id >= 100 ORDER BY experiment_id"
        ).fetchall()
    assert [row[0] for row in found] == ["file:///new", "file:///new/7/x", *others]


@pytest.mark.parametrize("content", [b"", b"not a database " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_refused_at_once(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    database = tmp_path / ".mineralseg" / "mlflow.db"
    database.parent.mkdir()
    database.write_bytes(content)
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"mlflow\.db: not usable as an MLflow database"):
        open_store(tmp_path, experiment="e")
    assert time.monotonic() - began < 2
    assert database.read_bytes() == content


def test_a_store_cut_short_is_refused_and_not_changed(workspace: Path) -> None:
    database = workspace / ".mineralseg" / "mlflow.db"
    content = database.read_bytes()[:20000]
    database.write_bytes(content)
    with pytest.raises(EnvironmentFault, match="not usable"):
        open_store(workspace, experiment="minerals")
    assert database.read_bytes() == content


def test_a_locked_store_is_said_to_be_locked(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_BUSY_WAIT_S", 0.1)
    database = workspace / ".mineralseg" / "mlflow.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(EnvironmentFault, match="locked by another process"):
            open_store(workspace, experiment="minerals")


def test_a_deleted_experiment_is_not_written_to(store: Store) -> None:
    name = uuid.uuid4().hex
    store.client.delete_experiment(open_store(store.workspace, experiment=name).experiment_id)
    with pytest.raises(ConfigurationError, match="deleted"):
        open_store(store.workspace, experiment=name)


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "postgresql://u:secret@db/mlflow"])
def test_an_address_that_is_no_store_is_refused_without_its_password(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI") as caught:
        open_store(tmp_path, experiment="e")
    assert "secret" not in str(caught.value)


def test_another_database_can_be_named(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = template / ".mineralseg" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    store = open_store(tmp_path, experiment="minerals")
    assert store.uri == f"sqlite:///{database}"
    assert [run.data.tags["mineralseg.fingerprint"] for run in store.client.search_runs(["1"])] == ["f1"]


def test_a_question_mark_in_the_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigurationError, match="question mark"):
        open_store(tmp_path / "what?", experiment="e")


def test_a_server_that_is_down_is_named_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=f"http://127.0.0.1:{port}: no answer.*MLFLOW_TRACKING_URI"):
        open_store(tmp_path, experiment="e")
    assert time.monotonic() - began < 10


def test_a_server_that_accepts_and_never_answers_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mineralseg.tracking.store._PROBE_S", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(EnvironmentFault, match=r"no answer \(timed out\)"):
            open_store(tmp_path, experiment="e")


def test_who_waits_too_long_for_a_lock_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mineralseg.tracking.store._LOCK_WAIT_S", 0.1)
    with store.lock("x"), pytest.raises(Busy, match=r"x\.lock: held by another process"), store.lock("x"):
        pass
    with store.lock("x"):
        assert (store.workspace / ".mineralseg" / "locks" / "x.lock").exists()


def test_a_password_is_not_shown() -> None:
    assert address("https://me:pass@host:5000/x") == "https://host:5000/x"
    assert address("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


def test_only_failures_of_the_store_become_environment_faults() -> None:
    with pytest.raises(EnvironmentFault, match="no space"), reporting("sqlite:///x"):
        raise OSError(28, "no space left")
    with pytest.raises(EnvironmentFault, match="PASSWORD"), reporting("http://x"):
        raise MlflowException("denied", error_code=PERMISSION_DENIED)
    with pytest.raises(MlflowException), reporting("http://x"):
        raise MlflowException.invalid_parameter_value("a bug of the caller")


def test_a_fresh_store_says_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mineralseg.tracking.store import open_store\n"
        "open_store(Path(sys.argv[1]), experiment='e')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == [".mineralseg"]
