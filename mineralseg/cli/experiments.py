"""Commands about experiments: evaluate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mineralseg.cli.boundary import tell
from mineralseg.cli.options import HERE, JsonOption, WorkspaceOption, emit, say


class Part(StrEnum):
    """A side of the split."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


def evaluate(
    model_version: Annotated[str, typer.Option(help="A number, @champion, @candidate or latest.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled folder: <sample>/image/*, <sample>/label/*, legend.", show_default="the workspace"
        ),
    ] = None,
    split: Annotated[
        Part | None, typer.Option(help="Side of the workspace's split.", show_default="test")
    ] = None,
    workspace: WorkspaceOption = HERE,
    json_lines: JsonOption = False,
) -> None:
    """Score a registered version on the workspace or on any labelled folder."""
    from mineralseg.errors import ConfigurationError
    from mineralseg.stages.evaluate import evaluate_bundle, folder_samples, workspace_samples
    from mineralseg.stages.register import fetch_bundle
    from mineralseg.stages.workspace import Workspace

    if data is not None and split is not None:
        raise ConfigurationError(
            "evaluate", found="--data and --split together", expected="one of them", fix="leave out --split"
        )
    place = Workspace.at(workspace)
    params = place.params()
    version, bundle = fetch_bundle(params, place, model_version)
    if data is None:
        samples = workspace_samples(params, place, (split or Part.TEST).value, bundle)
    else:
        samples = folder_samples(data, bundle)
    scores = evaluate_bundle(bundle, samples, scratch=place.scratch, progress=tell)
    if json_lines:
        emit({"model_version": version.number, **scores.model_dump(mode="json")})
        return
    say(f"{version.model} version {version.number} on {len(scores.samples)} sample(s)")
    say(f"  pixel accuracy {_score(scores.pixel_accuracy)}   mean IoU {_score(scores.mean_iou)}")
    for name, value in scores.iou.items():
        say(f"  IoU {_score(value)}  {name}")


def _score(value: float | None) -> str:
    return "  –  " if value is None else f"{value:.3f}"
