"""What a stage can tell about its run, whoever listens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    """A listener to one run: parameters and scores, files and tags."""

    @property
    def run_id(self) -> str | None:
        """The id under which the run can be found again; None when nothing is recorded."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record flattened parameters; a value is written as `str` shows it and never changes again."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the scores of one step; a score that is not a finite number is left out."""

    def log_artifact(self, path: Path, *, folder: str) -> None:
        """Keep a copy of the file `path` in `folder` of the run (empty: at its top)."""

    def log_text(self, text: str, name: str) -> None:
        """Keep `text` as the file `name` of the run."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run; unlike a parameter, a tag can be set again."""

    def set_description(self, markdown: str) -> None:
        """Replace the description that is shown with the run."""

    def log_dataset(
        self, *, name: str, digest: str, source: str, context: str, tags: Mapping[str, str]
    ) -> None:
        """Record which data the run used; the data are not read.

        Args:
            name: what the data are called.
            digest: their hash, at most 36 characters, such as the md5 of DVC.
            source: where they lie.
            context: what they were used for: training, validation, test.
            tags: further facts about this use.
        """


class NullTracker:
    """A tracker that records nothing, for tests and for work without MLflow."""

    @property
    def run_id(self) -> str | None:
        """None: there is nothing to find again."""
        return None

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record nothing."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record nothing."""

    def log_artifact(self, path: Path, *, folder: str) -> None:
        """Record nothing."""

    def log_text(self, text: str, name: str) -> None:
        """Record nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record nothing."""

    def set_description(self, markdown: str) -> None:
        """Record nothing."""

    def log_dataset(
        self, *, name: str, digest: str, source: str, context: str, tags: Mapping[str, str]
    ) -> None:
        """Record nothing."""
