"""Check: everything that is wrong with a workspace, at once, before any work."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mineralseg.config.data import SplitByManifest
from mineralseg.config.params import Params
from mineralseg.core.progress import Progress
from mineralseg.errors import MineralsegError
from mineralseg.io.tables import read_samples
from mineralseg.stages.code import check_code_file
from mineralseg.stages.ingest import inspect_workspace
from mineralseg.stages.inspect import Inspection
from mineralseg.stages.split import deal
from mineralseg.stages.workspace import Workspace


@dataclass(frozen=True)
class CheckResult:
    """Number of samples on disk that are sound, and all faults."""

    samples: int
    faults: tuple[MineralsegError, ...]


def check_workspace(folder: Path, *, progress: Progress) -> CheckResult:
    """Return what is wrong with the workspace in `folder`: code, data, legend, table of samples, split.

    Raises:
        ConfigurationError: params.yaml itself cannot be read, with all its faults.
    """
    workspace = Workspace.at(folder)
    params = workspace.params()
    faults: list[MineralsegError] = []
    inspection = Inspection((), ())
    try:
        inspection, _ = inspect_workspace(params, workspace, progress=progress)
        faults += inspection.faults
    except MineralsegError as fault:
        faults.append(fault)
    faults += _faults_of(lambda: check_code_file(workspace.code_file))
    faults += _faults_of_split(params, workspace)
    return CheckResult(len(inspection.slides), _distinct(faults))


def _faults_of_split(params: Params, workspace: Workspace) -> Iterator[MineralsegError]:
    """Yield what is wrong with the split of the listed samples, as if all of them were sound."""
    try:
        rows = read_samples(workspace.samples_file)
    except MineralsegError as fault:
        yield fault
        return
    yield from _faults_of(lambda: deal(params, rows))
    stated = [row for row in rows if row.part is not None]
    if isinstance(params.split, SplitByManifest) and 0 < len(stated) < len(rows):
        yield from _faults_of(lambda: deal(params, stated))


def _faults_of(step: Callable[[], object]) -> Iterator[MineralsegError]:
    try:
        step()
    except MineralsegError as fault:
        yield fault


def _distinct(faults: list[MineralsegError]) -> tuple[MineralsegError, ...]:
    """Return faults without those that read the same (a table that two steps need is told of once)."""
    return tuple({str(fault): fault for fault in faults}.values())
