"""The tracking store: a database file in the workspace, or the server that MLFLOW_TRACKING_URI names."""

import http.client
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from filelock import FileLock, Timeout

from mineralseg.errors import Busy, ConfigurationError, EnvironmentFault
from mineralseg.io.files import writing
from mineralseg.tracking import local
from mineralseg.tracking.mlflow_api import MlflowClient, MlflowException, address, reporting

_LOCK_WAIT_S = 60.0
_PROBE_S = 5.0


@dataclass(frozen=True)
class Store:
    """An open tracking store and the experiment that runs of this workspace go to."""

    client: MlflowClient
    experiment_id: str
    uri: str
    workspace: Path
    moved_from: str | None = None
    """Where the artifacts lay before the workspace was moved, when opening has just repaired that."""

    @property
    def is_local(self) -> bool:
        """Whether the store is a database file and not a server."""
        return self.uri.startswith("sqlite:")

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn a failure of the store inside the block into an `EnvironmentFault` naming its address."""
        with reporting(self.uri):
            yield

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the workspace's lock `name` while the block runs, waiting up to a minute for it.

        Raises:
            Busy: another process held it all that time.
        """
        with _hold(self.workspace / ".mineralseg" / "locks" / f"{name}.lock"):
            yield


def open_store(workspace: Path, *, experiment: str) -> Store:
    """Return the tracking store of `workspace`, made when this is its first use.

    Without MLFLOW_TRACKING_URI the store is `.mineralseg/mlflow.db` with the files of its runs in
    `.mineralseg/artifacts`. When the workspace has been moved since, the absolute paths inside are
    corrected, and the result's `moved_from` says so. Any number of processes may open it at once.

    Args:
        workspace: the project folder.
        experiment: the experiment that runs are put in, made when missing.

    Raises:
        ConfigurationError: the address or the experiment cannot be used.
        EnvironmentFault: the server does not answer, or the database file is damaged.
        Busy: another process has been making the store for a minute.
    """
    workspace = workspace.resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        _require_server(uri)
        return _open(uri, workspace, experiment=experiment, artifacts=None)
    if uri and not uri.startswith("sqlite:///"):
        raise ConfigurationError(
            f"MLFLOW_TRACKING_URI {address(uri)}",
            found="neither a server nor a database file",
            expected="http://..., https://... or sqlite:///<path>",
            fix="unset it to record inside the workspace, or put `mlflow server` in front of your database",
        )
    inside = workspace / ".mineralseg" / "mlflow.db"
    database = Path(uri.removeprefix("sqlite:///")).resolve() if uri else inside
    with _hold(workspace / ".mineralseg" / "locks" / "store.lock"):
        moved_from = local.prepare(database, relocate=database == inside)
    return _open(
        local.database_uri(database),
        workspace,
        experiment=experiment,
        artifacts=local.artifacts_uri(database),
        moved_from=moved_from,
    )


def _open(
    uri: str, workspace: Path, *, experiment: str, artifacts: str | None, moved_from: str | None = None
) -> Store:
    with reporting(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        experiment_id = _experiment_id(client, experiment, artifacts)
    return Store(client, experiment_id, uri, workspace, moved_from)


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """Return the id of the experiment `name`; of several processes that make it, one does and all get it."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise ConfigurationError(
            f"experiment {name!r}",
            found="deleted from the tracking store",
            expected="an active experiment",
            fix="restore it with `mlflow experiments restore`, or choose another name",
        )
    return str(found.experiment_id)


def _require_server(uri: str) -> None:
    """Find out within seconds that nobody answers at `uri`, where the client itself would try for long."""
    try:
        with urlopen(f"{address(uri).rstrip('/')}/health", timeout=_PROBE_S):  # noqa: S310 - the scheme is http(s)
            return
    except HTTPError:
        return  # someone answers; whether it lets us in is for the client to say
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):
            return  # the client has its own settings for certificates
        raise EnvironmentFault(
            f"MLflow server {address(uri)}",
            found=f"no answer ({reason})",
            expected="a running MLflow server",
            fix="start it, correct MLFLOW_TRACKING_URI, or unset it to record runs inside the workspace",
        ) from error


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
        except Timeout as error:
            raise Busy(
                str(path),
                found=f"held by another process for {_LOCK_WAIT_S:g} s",
                fix="wait until it has ended, or end it, then run again",
            ) from error
    try:
        yield
    finally:
        lock.release()
