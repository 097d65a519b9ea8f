"""How a stage opens its run on record: in the workspace's MLflow store, or nowhere."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from mineralseg.stages.workspace import Workspace
from mineralseg.tracking.lineage import lineage_tags
from mineralseg.tracking.run import Run
from mineralseg.tracking.runs import find_run, tracked_run
from mineralseg.tracking.store import Store, open_store
from mineralseg.tracking.tracker import NullTracker, Tracker

MADE_BY_PIPELINE = ("dvc.lock", "reports", "data", "model", "bundle", "code.yaml")
"""Tracked files that the pipeline itself rewrites; their changes do not make the code dirty."""


class RunBook(Protocol):
    """Opens runs and finds them again by fingerprint."""

    def open(
        self, *, name: str, fingerprint: str, tags: Mapping[str, str], resume_run_id: str | None
    ) -> AbstractContextManager[Tracker]:
        """Open a run, or go on with the one named if it is there."""

    def find(self, fingerprint: str) -> Tracker:
        """Return the newest finished run with this fingerprint; a null tracker when there is none."""


class NoRunBook:
    """Records nothing, for tests and for work without MLflow."""

    def open(
        self, *, name: str, fingerprint: str, tags: Mapping[str, str], resume_run_id: str | None
    ) -> AbstractContextManager[Tracker]:
        """Open nothing."""
        return nullcontext(NullTracker())

    def find(self, fingerprint: str) -> Tracker:
        """Find nothing."""
        return NullTracker()


class MlflowRunBook:
    """The runs of a workspace in its MLflow store, each with the lineage of code and data."""

    def __init__(self, workspace: Workspace, *, experiment: str) -> None:
        """Open (or create) the store."""
        self._workspace = workspace
        self.store: Store = open_store(workspace.root, experiment=experiment)

    def open(
        self, *, name: str, fingerprint: str, tags: Mapping[str, str], resume_run_id: str | None
    ) -> AbstractContextManager[Tracker]:
        """Open a run with lineage tags."""
        known = lineage_tags(self._workspace.root, apart_from=MADE_BY_PIPELINE)
        # What comes after the data in dvc.lock is, while a stage runs, still that of the run before.
        lineage = {k: v for k, v in known.items() if not k.startswith("dvc.") or k.startswith("dvc.data/")}
        return tracked_run(
            self.store,
            name=name,
            fingerprint=fingerprint,
            tags={**lineage, "mlflow.source.name": "dvc repro", "mlflow.source.type": "LOCAL", **tags},
            resume_run_id=resume_run_id,
        )

    def find(self, fingerprint: str) -> Tracker:
        """Return the newest finished run with this fingerprint."""
        info = find_run(self.store, fingerprint)
        return NullTracker() if info is None else Run(self.store, info.run_id)
