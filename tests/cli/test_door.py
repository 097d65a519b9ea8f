"""The doors that DVC opens: a stage starts in its workspace and ends with the process that started it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mineralseg.io.files import read_json
from mineralseg.stages.workspace import Workspace

SPLIT = [sys.executable, "-m", "pipelines.split"]


def test_a_stage_runs_in_the_current_folder(prepared: Workspace) -> None:
    prepared.splits.unlink()
    done = subprocess.run(SPLIT, cwd=prepared.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("split: starts\n")
    assert sum(read_json(prepared.report("split")).values()) == 6
    assert prepared.splits.is_file()


def test_a_stage_of_another_mineralseg_does_not_start(prepared: Workspace) -> None:
    prepared.splits.unlink()
    prepared.code_file.write_text("split: 0\n")
    done = subprocess.run(SPLIT, cwd=prepared.root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--refresh-code" in done.stderr
    assert not prepared.splits.exists()


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the system must tell of a parent's death")
@pytest.mark.parametrize("seconds", [0.0, 30.0], ids=["while it imports", "while it works"])
def test_a_stage_ends_with_the_process_that_started_it(
    prepared: Workspace, tmp_path: Path, seconds: float
) -> None:
    """A shell that stands for DVC starts a stage and is gone, at once or once the stage works."""
    script = tmp_path / "stage.py"
    script.write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from pipelines.door import stage\n"
        "with stage('wait'):\n"
        f"    Path({str(tmp_path / 'works')!r}).touch()\n"
        f"    time.sleep({seconds})\n"
        f"    Path({str(tmp_path / 'finished')!r}).touch()\n"
    )
    wait = "" if seconds == 0 else f"until [ -e '{tmp_path}/works' ]; do sleep 0.02; done"
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(
            ["sh", "-c", f"{sys.executable} {script} & echo $! > '{tmp_path}/pid'\n{wait}"],
            cwd=prepared.root,
            stderr=log,
            check=True,
            start_new_session=True,
        )
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, "the stage goes on without its parent"
        time.sleep(0.05)
    assert not (tmp_path / "finished").exists()
    if seconds == 0:
        assert "the process that started it has ended" in (tmp_path / "log").read_text()
