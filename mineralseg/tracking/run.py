"""An open run: what a stage tells about itself, sent to the tracking store."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mineralseg.errors import ConfigurationError, EnvironmentFault
from mineralseg.tracking import mlflow_api as api
from mineralseg.tracking.names import metric_keys, metric_name
from mineralseg.tracking.store import Store

_LONGEST_PARAM, _LONGEST_TAG, _LONGEST_DIGEST = 6000, 8000, 36
_CUT = "... [cut]"
_PER_BATCH, _METRICS_PER_BATCH = 100, 1000

_Item = TypeVar("_Item")


class Run:
    """An open run of a store; a `Tracker`.

    Scores that the store does not take, because a server is being restarted or a file is locked, are kept
    and sent with the next ones: hours of training do not end for that. What is still unsent at the end of
    the run is an `EnvironmentFault`. Every other method raises it at once.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        """Stand for the run `run_id` of `store`, which exists."""
        self._store, self._run_id = store, run_id
        self._unsent: list[api.Metric] = []

    @property
    def run_id(self) -> str:
        """The id under which the run can be found again."""
        return self._run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record flattened parameters; a value of more than 6000 characters is cut and says so.

        Raises:
            ConfigurationError: the run has another value for one of them on record.
        """
        entries = [
            api.Param(metric_name(key), _cut(str(value), _LONGEST_PARAM)) for key, value in params.items()
        ]
        try:
            with self._store.reporting():
                for batch in _batches(entries, _PER_BATCH):
                    self._store.client.log_batch(self._run_id, params=batch)
        except api.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise ConfigurationError(
                f"run {self._run_id}",
                found=str(error).strip().splitlines()[0],
                expected="the parameters that the run began with",
                fix="start a new run",
            ) from error

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the scores of one step in one call; a score that is not a finite number is left out."""
        now_ms = int(time.time() * 1000)
        self._unsent += [
            api.Metric(key, float(value), now_ms, step)
            for key, value in zip(metric_keys(list(metrics)), metrics.values(), strict=True)
            if math.isfinite(value)
        ]
        try:
            self._send()
        except EnvironmentFault:
            return  # kept, and sent with the next scores or reported at the end of the run

    def log_artifact(self, path: Path, *, folder: str) -> None:
        """Keep a copy of the file `path` in `folder` of the run (empty: at its top)."""
        with self._store.reporting():
            self._store.client.log_artifact(self._run_id, str(path), folder or None)

    def log_text(self, text: str, name: str) -> None:
        """Keep `text` as the file `name` of the run."""
        with self._store.reporting():
            self._store.client.log_text(self._run_id, text, name)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run; a value of more than 8000 characters is cut and says so."""
        entries = [api.RunTag(metric_name(key), _cut(value, _LONGEST_TAG)) for key, value in tags.items()]
        with self._store.reporting():
            for batch in _batches(entries, _PER_BATCH):
                self._store.client.log_batch(self._run_id, tags=batch)

    def set_description(self, markdown: str) -> None:
        """Replace the description that is shown with the run."""
        self.set_tags({"mlflow.note.content": markdown})

    def log_dataset(
        self, *, name: str, digest: str, source: str, context: str, tags: Mapping[str, str]
    ) -> None:
        """Record which data the run used, by name and hash; the data are not read.

        Raises:
            ConfigurationError: `digest` has more than 36 characters, the most that MLflow stores.
        """
        if len(digest) > _LONGEST_DIGEST:
            raise ConfigurationError(
                f"digest of the data {name!r}",
                found=f"{len(digest)} characters",
                expected=f"at most {_LONGEST_DIGEST}, such as the md5 of DVC",
            )
        data = api.Dataset(name, digest, source_type="local", source=json.dumps({"uri": source}))
        facts = [api.InputTag("mlflow.data.context", context)]
        facts += [api.InputTag(key, value) for key, value in tags.items()]
        with self._store.reporting():
            self._store.client.log_inputs(self._run_id, [api.DatasetInput(data, facts)])

    def close(self, status: str) -> None:
        """Send what is unsent and mark the run as ended: FINISHED, FAILED or KILLED.

        A run whose scores could not all be sent is not marked as finished but as failed.

        Raises:
            EnvironmentFault: the store did not take it; a run still open there is closed by `reap`.
        """
        try:
            self._send()
        except EnvironmentFault:
            status = "FAILED" if status == "FINISHED" else status
            raise
        finally:
            with self._store.reporting():
                self._store.client.set_terminated(self._run_id, status)

    def _send(self) -> None:
        with self._store.reporting():
            while self._unsent:
                batch = self._unsent[:_METRICS_PER_BATCH]
                self._store.client.log_batch(self._run_id, metrics=batch)
                del self._unsent[: len(batch)]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - len(_CUT)] + _CUT


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
