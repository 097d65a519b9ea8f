"""Prediction killed at any moment leaves no folder that looks finished and is not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mineralseg.io.files import read_json, sha256_file
from mineralseg.io.raster import open_raster
from mineralseg.stages.workspace import Workspace
from tests.slow.processes import PROGRAM, run
from tests.workspaces import write_tiff

pytestmark = pytest.mark.slow

KILLS = 20
GROUPS = ["a", "b", "c"]
FILES = {"labels.tif", "confidence.tif", "overlay.png", "modal.csv", "modal.json", "run.json"}

# One warm process forks a child for every round, so that a round costs no second import of torch. It
# reads lines "<folder> <seconds>", kills the child after that time (0: never) and says how it ended.
FORKER = """
import os, signal, sys, time
from pathlib import Path
from mineralseg.core.progress import silent
from mineralseg.engine.device import make_deterministic
from mineralseg.stages.groups import find_groups
from mineralseg.stages.predict import ModelIdentity, predict_groups
from mineralseg.stages.register import fetch_bundle
from mineralseg.stages.scoring import Predictor
from mineralseg.stages.workspace import Workspace

make_deterministic(threads=1)
place, inputs = Workspace.at(Path(sys.argv[1])), Path(sys.argv[2])
version, bundle = fetch_bundle(place.params(), place, "@champion")
model = ModelIdentity(version.model, version.number, bundle.spec.weights_sha256)
predictor = Predictor(bundle)
print("ready", flush=True)
for line in sys.stdin:
    out, seconds = line.split()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        results = predict_groups(
            predictor, find_groups([inputs]), model=model, out=Path(out), overwrite=False, progress=silent
        )
        os._exit(0 if all(result.error is None for result in results) else 1)
    if float(seconds):
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, time.monotonic() - began, flush=True)
"""


@pytest.fixture
def inputs(tmp_path: Path, slides: Path) -> Path:
    """Three groups of some tiles each."""
    for number, group in enumerate(GROUPS):
        for view in ("PPL", "XPL45"):
            with open_raster(slides / f"S0{number + 1}a" / "image" / f"{view}.tif") as source:
                pixels = source.read_all()
            write_tiff(tmp_path / "in" / f"{group}_{view}.tif", np.tile(pixels, (6, 6, 1)))
    return tmp_path / "in"


def finished(out: Path) -> list[str]:
    """Return the groups with a run.json, each of whose files must be the one that it names."""
    names = []
    for record in sorted(out.glob("*/run.json")):
        content = read_json(record)
        for kind, name in content["outputs"].items():
            assert sha256_file(record.parent / name) == content["sha256"][kind], record
        names.append(record.parent.name)
    return names


def test_no_kill_leaves_a_finished_folder_that_is_not(
    recorded: Workspace, inputs: Path, tmp_path: Path
) -> None:
    forker = subprocess.Popen(
        [sys.executable, "-c", FORKER, str(recorded.root), str(inputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert forker.stdin is not None
    assert forker.stdout is not None
    reader, writer = forker.stdout, forker.stdin
    assert reader.readline() == "ready\n"

    def ask(out: Path, seconds: float) -> tuple[int, float]:
        print(out, seconds, file=writer, flush=True)
        status, took = reader.readline().split()
        return int(status), float(took)

    status, whole_s = ask(tmp_path / "whole", 0)
    assert (status, finished(tmp_path / "whole")) == (0, GROUPS)
    rng = np.random.default_rng(0)
    killed, attempt, states = 0, 0, set()
    for _ in range(5 * KILLS):
        out = tmp_path / f"out{attempt}"
        done = finished(out) if out.exists() else []
        left = whole_s * (len(GROUPS) - len(done)) / len(GROUPS)
        # a little longer than it takes: a machine that is busier now must still get past the last group
        status, _ = ask(out, 0.005 + float(rng.uniform(0, 1.5 * left)))
        assert status in (0, -9)
        killed += status == -9
        now = finished(out)
        states.add(len(now))
        assert set(now) >= set(done)
        attempt += now == GROUPS
        if killed == KILLS:
            break
    writer.close()
    assert forker.wait(timeout=30) == 0
    reader.close()
    assert killed == KILLS
    assert len(states) > 1
    last = tmp_path / f"out{attempt}"
    place = ("--model-version", "@champion", "--out", last, "-w", recorded.root)
    done_by_hand = run(PROGRAM, "predict", inputs, *place, folder=tmp_path)
    assert done_by_hand.returncode == 0, done_by_hand.stderr
    assert finished(last) == GROUPS
    for group in GROUPS:
        assert {path.name for path in (last / group).iterdir()} == FILES
        for name in FILES - {"run.json", "overlay.png"}:
            assert (last / group / name).read_bytes() == (tmp_path / "whole" / group / name).read_bytes()
