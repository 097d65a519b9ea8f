import subprocess
import sys
from pathlib import Path

from mineralseg.tracking.run import Run
from mineralseg.tracking.tracker import NullTracker, Tracker


def test_the_silent_tracker_takes_everything_and_leaves_nothing(tmp_path: Path) -> None:
    tracker: Tracker = NullTracker()
    tracker.log_params({"a": 1})
    tracker.log_metrics({"loss": float("nan")}, step=0)
    tracker.log_artifact(tmp_path / "missing", folder="")
    tracker.log_text("text", "note.txt")
    tracker.set_tags({"a": "b"})
    tracker.set_description("# title")
    tracker.log_dataset(name="d", digest="0", source="data", context="training", tags={})
    assert tracker.run_id is None
    assert not list(tmp_path.iterdir())


def test_an_mlflow_run_is_a_tracker() -> None:
    def accepts(tracker: type[Tracker]) -> type[Tracker]:
        return tracker

    assert accepts(Run) is Run


def test_the_protocol_and_the_lineage_do_not_import_mlflow() -> None:
    code = (
        "import sys, mineralseg.tracking.tracker, mineralseg.tracking.lineage, mineralseg.tracking.names\n"
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
