"""Several processes at once, processes that are killed, and a real server."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mineralseg.errors import EnvironmentFault
from mineralseg.tracking.registry import Registry
from mineralseg.tracking.runs import find_run, tracked_run
from mineralseg.tracking.store import open_store

pytestmark = pytest.mark.slow

OPEN = """
import sys
from pathlib import Path
from mineralseg.tracking.store import open_store
store = open_store(Path(sys.argv[1]), experiment="e")
print(store.experiment_id)
"""
RUN = """
import sys, time
from pathlib import Path
from mineralseg.tracking.store import open_store
from mineralseg.tracking.runs import tracked_run
store = open_store(Path(sys.argv[1]), experiment="e")
with tracked_run(store, name="t", fingerprint="f", tags={}, resume_run_id=None) as run:
    print(run.run_id, flush=True)
    time.sleep(60)
"""
PROMOTE = """
import sys
from pathlib import Path
from mineralseg.errors import MineralsegError
from mineralseg.tracking.registry import Registry
from mineralseg.tracking.store import open_store
registry = Registry(open_store(Path(sys.argv[1]), experiment="e"), "m")
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.promote(int(sys.argv[2]), expected_champion=1, promoted_by=sys.argv[2])
except MineralsegError as error:
    sys.exit(error.exit_code)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_three_processes_make_one_store(tmp_path: Path) -> None:
    answers = [process.communicate(timeout=120) for process in [start(OPEN, tmp_path) for _ in range(3)]]
    assert [error for _, error in answers] == [""] * 3
    assert len({found for found, _ in answers}) == 1


def test_a_store_killed_while_it_is_made_is_made_by_the_next(tmp_path: Path) -> None:
    began = time.monotonic()
    assert start(OPEN, tmp_path / "whole").communicate(timeout=120)[1] == ""
    whole_s = time.monotonic() - began
    left_behind = 0
    for kill in range(7):
        workspace = tmp_path / str(kill)
        process = start(OPEN, workspace)
        building = workspace / ".mineralseg" / "mlflow.db.building"
        deadline = time.monotonic() + 60
        while not building.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(whole_s * 0.5 * kill / 7)
        process.kill()
        process.communicate()
        left_behind += building.exists()
        assert open_store(workspace, experiment="e").experiment_id == "1"
        assert not list(building.parent.glob("*.building*"))
        with closing(sqlite3.connect(building.with_name("mlflow.db"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert left_behind >= 3  # otherwise the kills came too late to prove anything


def test_a_run_killed_without_warning_is_closed_by_the_next(tmp_path: Path) -> None:
    process = start(RUN, tmp_path)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    process.kill()
    process.communicate()
    store = open_store(tmp_path, experiment="e")
    assert store.client.get_run(run_id).info.status == "RUNNING"
    with tracked_run(store, name="t", fingerprint="f", tags={}, resume_run_id=run_id) as run:
        assert run.run_id == run_id
    found = find_run(store, "f")
    assert found is not None
    assert found.run_id == run_id


def test_a_terminated_run_is_closed_and_the_exit_code_says_so(tmp_path: Path) -> None:
    process = start(RUN, tmp_path)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (143, "")
    assert open_store(tmp_path, experiment="e").client.get_run(run_id).info.status == "KILLED"


def test_of_two_who_promote_at_once_one_is_told(tmp_path: Path, bundle: Path) -> None:
    registry = Registry(open_store(tmp_path, experiment="e"), "m")
    for content in "123":
        (bundle / "bundle.json").write_text(content, encoding="utf-8")
        registry.register(bundle, run_id=None, weights_sha256=content, tags={})
    registry.promote(1, expected_champion=None, promoted_by="test")
    racers = {number: start(PROMOTE, tmp_path, number) for number in (2, 3)}
    for racer in racers.values():
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    errors = [racer.communicate(timeout=60)[1] for racer in racers.values()]
    assert errors == ["", ""]
    assert sorted(racer.returncode for racer in racers.values()) == [0, 4]
    [winner] = [number for number, racer in racers.items() if racer.returncode == 0]
    assert registry.resolve("@champion").number == winner
    assert registry.resolve("@previous").number == 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _answers(uri):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.5)
        yield uri, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def _answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=2):  # noqa: S310 - our own server
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_a_server_serves_runs_and_versions_and_its_end_is_reported(
    server: tuple[str, subprocess.Popen[bytes]],
    tmp_path: Path,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    uri, process = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    workspace = tmp_path / "work"
    store = open_store(workspace, experiment="e")
    assert not store.is_local
    with tracked_run(store, name="t", fingerprint="f", tags={"a": "b"}, resume_run_id=None) as run:
        run.log_params({f"p{i}": i for i in range(150)})
        run.log_metrics({"iou/quartz (α)": 0.5}, step=1)
        run.log_text("x", "x.txt")
    found = find_run(store, "f")
    assert found is not None
    assert found.metrics == {"iou/quartz_α": 0.5}
    registry = Registry(store, "m")
    version = registry.register(bundle, run_id=run.run_id, weights_sha256="ab", tags={})
    assert registry.register(bundle, run_id=run.run_id, weights_sha256="ab", tags={}).number == version.number
    assert registry.promote(1, expected_champion=None, promoted_by="test").champion.aliases == ("champion",)
    copy = registry.download(registry.resolve("@champion"), tmp_path / "copy")
    assert (copy / "notes" / "card.md").read_bytes() == (bundle / "notes" / "card.md").read_bytes()
    assert not (tmp_path / "mlflow.db").exists()
    assert capfd.readouterr() == ("", "")

    os.killpg(process.pid, 9)
    process.wait()
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=uri):
        registry.versions()
    assert time.monotonic() - began < 15
