"""Runs: one execution of a stage on record, closed with the truth about how it ended."""

import getpass
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn

from mineralseg.errors import Busy, EnvironmentFault
from mineralseg.tracking import mlflow_api as api
from mineralseg.tracking.names import checked_identifier
from mineralseg.tracking.process import HOST, identity_tags, lives
from mineralseg.tracking.run import Run
from mineralseg.tracking.store import Store

FINGERPRINT = "mineralseg.fingerprint"


@dataclass(frozen=True)
class RunInfo:
    """What the store knows of one run: how it ended, its parameters, last scores and tags."""

    run_id: str
    name: str
    status: str
    started: datetime
    ended: datetime | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@contextmanager
def tracked_run(
    store: Store, *, name: str, fingerprint: str, tags: Mapping[str, str], resume_run_id: str | None
) -> Iterator[Run]:
    """Open a run, and close it as FINISHED, FAILED (an error) or KILLED (Ctrl-C, SIGTERM, exit).

    While it is open, SIGTERM, which schedulers send before they take a node away, ends the program in
    order with exit code 143. Runs whose process died without a word are closed as KILLED first.

    Args:
        store: where to record it.
        name: what the run is called in lists.
        fingerprint: hash of everything the result depends on.
        tags: facts about the run.
        resume_run_id: a run to continue, if it is there and has the same fingerprint.

    Raises:
        Busy: the run to continue is open in another process.
        EnvironmentFault: the store failed.
    """
    with _orderly_sigterm():
        reap(store)
        run = Run(store, _resumed(store, resume_run_id, fingerprint) or _created(store, name, fingerprint))
        try:
            run.set_tags(tags)
            yield run
        except BaseException as error:
            ended_by_request = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
            try:
                run.close("KILLED" if ended_by_request else "FAILED")
            except EnvironmentFault as fault:
                error.add_note(f"The run {run.run_id} could not be closed: {fault}")
            raise
        run.close("FINISHED")


def find_run(store: Store, fingerprint: str) -> RunInfo | None:
    """Return the newest finished run with this fingerprint, None when there is none."""
    checked_identifier(fingerprint, what="fingerprint")
    with store.reporting():
        runs = store.client.search_runs(
            [store.experiment_id],
            f"tags.`{FINGERPRINT}` = '{fingerprint}' and attributes.status = 'FINISHED'",
            order_by=["attributes.end_time DESC"],
            max_results=1,
        )
    return _info(runs[0]) if runs else None


def reap(store: Store) -> list[str]:
    """Close as KILLED the runs left open by processes of this host that have died; return their ids."""
    host = identity_tags()[HOST].replace("'", "")
    with store.reporting():
        candidates = store.client.search_runs(
            [store.experiment_id], f"tags.`{HOST}` = '{host}' and attributes.status = 'RUNNING'"
        )
        dead = [run.info.run_id for run in candidates if lives(run.data.tags) is False]
        for run_id in dead:
            store.client.set_terminated(run_id, "KILLED")
    return dead


def _created(store: Store, name: str, fingerprint: str) -> str:
    tags = {
        FINGERPRINT: checked_identifier(fingerprint, what="fingerprint"),
        "mlflow.user": _user(),
        **identity_tags(),
    }
    with store.reporting():
        return str(store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())


def _resumed(store: Store, run_id: str | None, fingerprint: str) -> str | None:
    """Return `run_id` when that run can go on, set to running; None when a new one has to begin."""
    run = None if run_id is None else _existing(store, run_id)
    if run_id is None or run is None or run.data.tags.get(FINGERPRINT) != fingerprint:
        return None
    if run.info.status == "RUNNING" and lives(run.data.tags):
        raise Busy(
            f"run {run_id}",
            found="open in another process",
            fix="wait until it has ended, or start without resuming",
        )
    with store.reporting():
        store.client.update_run(run_id, status="RUNNING")
    Run(store, run_id).set_tags(identity_tags())
    return run_id


def _existing(store: Store, run_id: str) -> api.MlflowRun | None:
    checked_identifier(run_id, what="run id")
    try:
        with store.reporting():
            run = store.client.get_run(run_id)
    except api.MlflowException:
        return None
    here = run.info.experiment_id == store.experiment_id and run.info.lifecycle_stage == "active"
    return run if here else None


def _info(run: api.MlflowRun) -> RunInfo:
    ended_ms = run.info.end_time
    return RunInfo(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        started=_moment(run.info.start_time),
        ended=None if ended_ms is None else _moment(ended_ms),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
    )


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC)


@contextmanager
def _orderly_sigterm() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit(143)` in the block; only the main thread may decide on signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)
