import os
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mineralseg.errors import Busy, ConfigurationError, EnvironmentFault
from mineralseg.tracking import mlflow_api as api
from mineralseg.tracking.process import HOST, PROCESS, identity_tags, lives
from mineralseg.tracking.run import Run
from mineralseg.tracking.runs import find_run, reap, tracked_run
from mineralseg.tracking.store import Store


@pytest.fixture
def fingerprint() -> str:
    return uuid.uuid4().hex


def finished(store: Store, fingerprint: str, *, resume_run_id: str | None = None) -> str:
    with tracked_run(
        store, name="train", fingerprint=fingerprint, tags={}, resume_run_id=resume_run_id
    ) as run:
        return run.run_id


def status_of(store: Store, run_id: str) -> str:
    return str(store.client.get_run(run_id).info.status)


def test_everything_told_to_a_run_is_found_again(store: Store, fingerprint: str, tmp_path: Path) -> None:
    (tmp_path / "curve.txt").write_text("1 2 3", encoding="utf-8")
    with tracked_run(
        store, name="train", fingerprint=fingerprint, tags={"git.commit": "abc"}, resume_run_id=None
    ) as run:
        run.log_params({"train.epochs": 3, "long": "x" * 7000} | {f"p{i}": i for i in range(150)})
        run.log_metrics({"val/iou/quartz (α)": 0.5, "gone": float("nan"), "inf": float("inf")}, step=1)
        run.log_metrics({"val/iou/quartz (α)": 0.75}, step=2)
        run.log_artifact(tmp_path / "curve.txt", folder="plots")
        run.log_text("hello", "note.txt")
        run.set_description("# a run")
        run.log_dataset(name="train", digest="d" * 36, source="data/x", context="training", tags={"n": "4"})
    info = find_run(store, fingerprint)
    assert info is not None
    assert (info.run_id, info.name, info.status) == (run.run_id, "train", "FINISHED")
    assert info.metrics == {"val/iou/quartz_α": 0.75}
    assert info.params["train.epochs"] == "3"
    assert info.params["p149"] == "149"
    assert len(info.params["long"]) == 6000
    assert info.params["long"].endswith("[cut]")
    assert info.tags["git.commit"] == "abc"
    assert info.tags["mlflow.note.content"] == "# a run"
    assert info.ended is not None
    assert info.started <= info.ended
    folder = store.workspace / ".mineralseg" / "artifacts"
    assert [path.read_text() for path in folder.rglob("curve.txt")] == ["1 2 3"]
    inputs = store.client.get_run(run.run_id).inputs
    assert inputs is not None
    [entry] = inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("train", "d" * 36)
    assert {tag.key: tag.value for tag in entry.tags} == {"mlflow.data.context": "training", "n": "4"}
    history = store.client.get_metric_history(run.run_id, "val/iou/quartz_α")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.75)]


def test_two_scores_whose_names_would_meet_are_both_kept(store: Store, fingerprint: str) -> None:
    with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
        run.log_metrics({"iou/quartz (α)": 0.25, "iou/quartz [α]": 0.5}, step=0)
    info = find_run(store, fingerprint)
    assert info is not None
    assert sorted(info.metrics.values()) == [0.25, 0.5]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
    ],
)
def test_a_run_says_how_it_ended(store: Store, fingerprint: str, error: BaseException, status: str) -> None:
    def body() -> None:
        with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
            ids.append(run.run_id)
            raise error

    ids: list[str] = []
    with pytest.raises(type(error)):
        body()
    assert status_of(store, ids[0]) == status
    assert find_run(store, fingerprint) is None


def test_sigterm_closes_the_run_and_the_old_handler_comes_back(store: Store, fingerprint: str) -> None:
    def body() -> None:
        with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
            ids.append(run.run_id)
            os.kill(os.getpid(), signal.SIGTERM)

    ids: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        body()
    assert status_of(store, ids[0]) == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_outside_the_main_thread_leaves_signals_alone(store: Store, fingerprint: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        run_id = pool.submit(finished, store, fingerprint).result()
    assert status_of(store, run_id) == "FINISHED"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stopped_run_goes_on_under_its_id(store: Store, fingerprint: str) -> None:
    def body() -> None:
        with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
            ids.append(run.run_id)
            run.log_params({"lr": 0.1})
            raise KeyboardInterrupt

    ids: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        body()
    with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=ids[0]) as again:
        assert status_of(store, again.run_id) == "RUNNING"
        again.log_params({"lr": 0.1})
        with pytest.raises(ConfigurationError, match="start a new run"):
            again.log_params({"lr": 0.2})
    assert again.run_id == ids[0]
    assert status_of(store, ids[0]) == "FINISHED"


def test_a_run_that_is_gone_or_another_experiment_is_not_continued(store: Store, fingerprint: str) -> None:
    first = finished(store, fingerprint)
    assert finished(store, uuid.uuid4().hex, resume_run_id=first) != first
    store.client.delete_run(first)
    assert finished(store, fingerprint, resume_run_id=first) != first
    assert finished(store, fingerprint, resume_run_id="0" * 32) != "0" * 32


def test_a_run_that_is_open_is_not_opened_again(store: Store, fingerprint: str) -> None:
    with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
        with pytest.raises(Busy, match="open in another process"):
            finished(store, fingerprint, resume_run_id=run.run_id)
        assert status_of(store, run.run_id) == "RUNNING"


def test_the_newest_finished_run_is_found(store: Store, fingerprint: str) -> None:
    assert find_run(store, fingerprint) is None
    finished(store, fingerprint)
    second = finished(store, fingerprint)
    found = find_run(store, fingerprint)
    assert found is not None
    assert found.run_id == second
    with pytest.raises(ConfigurationError):
        find_run(store, "x' or '1'='1")


def test_a_run_whose_process_died_is_reaped_and_others_are_left(store: Store) -> None:
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "from mineralseg.tracking.process import *; print(identity_tags()[PROCESS])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    mine = identity_tags()
    dead = mine | {PROCESS: child.stdout.strip()}
    strangers = [{}, mine, dead | {HOST: "elsewhere"}, dead | {PROCESS: "4026/1/2"}, mine | {PROCESS: "?"}]
    ids = [store.client.create_run(store.experiment_id, tags=tags).info.run_id for tags in [dead, *strangers]]
    assert reap(store) == ids[:1]
    assert [status_of(store, run_id) for run_id in ids] == ["KILLED"] + ["RUNNING"] * 5
    for run_id in ids[1:]:
        store.client.set_terminated(run_id, "KILLED")


def test_a_zombie_does_not_live() -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from mineralseg.tracking.process import *; print(identity_tags()[PROCESS], flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    tags = identity_tags() | {PROCESS: child.stdout.readline().strip()}
    assert lives(tags) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet collected by its parent
    assert lives(tags) is False
    child.communicate()


def test_scores_wait_out_a_store_that_fails_for_a_while(
    store: Store, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.client.log_batch

    def down(*_: object, **__: object) -> None:
        raise api.MlflowException("API request failed: connection refused")

    with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
        monkeypatch.setattr(store.client, "log_batch", down)
        run.log_metrics({"loss": 3.0}, step=0)
        with pytest.raises(EnvironmentFault, match="connection refused"):
            run.set_tags({"a": "b"})
        monkeypatch.setattr(store.client, "log_batch", real)
        run.log_metrics({"loss": 2.0}, step=1)
    assert [point.value for point in store.client.get_metric_history(run.run_id, "loss")] == [3.0, 2.0]


def test_a_run_with_lost_scores_is_not_finished(
    store: Store, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise api.MlflowException("API request failed: connection refused")

    def body() -> None:
        with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
            ids.append(run.run_id)
            monkeypatch.setattr(store.client, "log_batch", down)
            run.log_metrics({"loss": 3.0}, step=0)

    ids: list[str] = []
    with pytest.raises(EnvironmentFault, match="connection refused"):
        body()
    assert status_of(store, ids[0]) == "FAILED"
    assert find_run(store, fingerprint) is None


def test_a_store_that_fails_at_the_end_does_not_hide_the_error(
    store: Store, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise api.MlflowException("API request failed: connection refused")

    def body() -> None:
        with tracked_run(store, name="t", fingerprint=fingerprint, tags={}, resume_run_id=None) as run:
            ids.append(run.run_id)
            monkeypatch.setattr(store.client, "set_terminated", down)
            raise ValueError("the reason")

    ids: list[str] = []
    with pytest.raises(ValueError, match="the reason") as caught:
        body()
    assert ids[0] in caught.value.__notes__[0]
    monkeypatch.undo()
    Run(store, ids[0]).close("FAILED")


def test_a_digest_that_would_not_fit_is_refused(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="at most 36"):
        Run(store, "0" * 32).log_dataset(name="d", digest="0" * 64, source="", context="test", tags={})
