"""Commands about data: synth, init, check."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mineralseg.cli.boundary import tell
from mineralseg.cli.options import HERE, DryRunOption, JsonOption, WorkspaceOption, emit, say


class Modality(StrEnum):
    """What the microscope shows."""

    TL = "TL"
    RL = "RL"
    BSE = "BSE"


_DEFAULT_VIEWS = {Modality.TL: "PPL,XPL0,XPL45", Modality.RL: "RL", Modality.BSE: "BSE"}
_DEFAULT_PIXEL_SIZE_UM = {Modality.TL: 1.5, Modality.RL: 0.7, Modality.BSE: 0.5}


def synth(
    out: Annotated[Path, typer.Argument(help="New folder for the slides.")],
    samples: Annotated[
        int, typer.Option(min=1, max=9999, help="Slides; two are fields of one specimen.")
    ] = 10,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Side of a slide, px.")] = 512,
    views: Annotated[
        str | None, typer.Option(help="PPL and XPL<angle>, by commas.", show_default="PPL,XPL0,XPL45")
    ] = None,
    modality: Annotated[Modality, typer.Option(help="TL (PPL, XPL), RL or BSE.")] = Modality.TL,
    pixel_size: Annotated[
        float | None, typer.Option(min=0.01, max=50, help="um per px.", show_default="by modality")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Make synthetic slides with known truth."""
    from mineralseg.core.slide import Illumination
    from mineralseg.stages.synth import SlidePlan, synthesise_slides

    plan = SlidePlan(
        samples=samples,
        size_px=size,
        modality=modality.value,
        illuminations=tuple(
            Illumination.parse(name.strip()) for name in (views or _DEFAULT_VIEWS[modality]).split(",")
        ),
        pixel_size_um=pixel_size or _DEFAULT_PIXEL_SIZE_UM[modality],
        seed=seed,
    )
    names = synthesise_slides(out, plan, progress=tell)
    say(f"{len(names)} slides with their truth in {out}")


def init(
    folder: Annotated[Path, typer.Argument(help="The workspace to make.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Images: <sample>/image/*, <sample>/label/*, and a legend.")
    ] = None,
    params_file: Annotated[
        Path | None,
        typer.Option("--params", help="A params.yaml to start from.", show_default="the shipped one"),
    ] = None,
    refresh_code: Annotated[
        bool,
        typer.Option("--refresh-code", help="In an existing workspace: accept the installed mineralseg."),
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Make a workspace: git, DVC, parameters, legend, pipeline and a copy of the images."""
    from mineralseg.errors import ConfigurationError

    if refresh_code:
        from mineralseg.stages.code import write_code_file
        from mineralseg.stages.workspace import Workspace

        workspace = Workspace.at(folder)
        if not dry_run:
            write_code_file(workspace.code_file)
        say(f"{workspace.code_file} {'would name' if dry_run else 'names'} the installed mineralseg")
        return
    if source is None:
        raise ConfigurationError("init", found="no --from", expected="a folder of samples to start from")
    from mineralseg.stages.scaffold import init_workspace

    made = init_workspace(folder, source, params_file=params_file, dry_run=dry_run, progress=tell)
    say(
        f"{'would make' if dry_run else 'made'} {made.root}: {made.samples} samples, "
        f"views {', '.join(made.illuminations)}"
    )
    if not dry_run:
        if not made.committed:
            say(
                "nothing is committed, because git does not know who you are: "
                "git config user.email YOU@EXAMPLE, then git commit"
            )
        say(f"next: look through params.yaml, then `cd {folder} && dvc repro`")


def check(workspace: WorkspaceOption = HERE, json_lines: JsonOption = False) -> None:
    """Find everything that is wrong with a workspace before any work is done."""
    from mineralseg.errors import DataFaults
    from mineralseg.stages.check import check_workspace

    result = check_workspace(workspace, progress=tell)
    if json_lines:
        emit(
            {
                "samples": result.samples,
                "faults": [
                    {"subject": f.subject, "found": f.found, "expected": f.expected, "fix": f.fix}
                    for f in result.faults
                ],
            }
        )
    if result.faults:
        raise DataFaults(result.faults)
    if not json_lines:
        say(f"{result.samples} samples, no fault")
