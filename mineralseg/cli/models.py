"""Commands about models: list, register, promote, predict."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mineralseg.cli.boundary import tell
from mineralseg.cli.options import HERE, DryRunOption, JsonOption, WorkspaceOption, emit, say

models_app = typer.Typer(no_args_is_help=True, help="Registered versions: list and register.")


@models_app.command("list")
def list_versions(workspace: WorkspaceOption = HERE, json_lines: JsonOption = False) -> None:
    """List the registered versions of the workspace's project."""
    from mineralseg.stages.register import open_registry
    from mineralseg.stages.workspace import Workspace

    place = Workspace.at(workspace)
    versions = open_registry(place.params(), place).versions()
    for version in versions:
        if json_lines:
            emit(
                {
                    "model": version.model,
                    "version": version.number,
                    "aliases": list(version.aliases),
                    "created": version.created.isoformat(),
                    "run_id": version.run_id,
                    "tags": dict(version.tags),
                }
            )
        else:
            score = version.tags.get("test.mean_iou", "–")
            aliases = " ".join(f"@{alias}" for alias in version.aliases)
            say(f"{version.number:>4}  {version.created:%Y-%m-%d %H:%M}  test mean IoU {score}  {aliases}")
    if not versions and not json_lines:
        say("no version is registered; `dvc repro`, then `mineralseg models register`")


@models_app.command("register")
def register(workspace: WorkspaceOption = HERE, json_lines: JsonOption = False) -> None:
    """Register the workspace's bundle as a candidate; the same bundle is never registered twice."""
    from mineralseg.stages.register import register_bundle
    from mineralseg.stages.workspace import Workspace

    place = Workspace.at(workspace)
    version = register_bundle(place.params(), place)
    if json_lines:
        emit({"model": version.model, "version": version.number, "aliases": list(version.aliases)})
    else:
        aliases = ", ".join(f"@{alias}" for alias in version.aliases) or "no alias"
        say(f"{version.model} version {version.number} ({aliases})")


def promote(
    version: Annotated[str, typer.Argument(help="A number, @candidate or latest.")],
    workspace: WorkspaceOption = HERE,
    json_lines: JsonOption = False,
) -> None:
    """Make a version the champion; the champion of before becomes @previous."""
    from mineralseg.stages.register import promote_version
    from mineralseg.stages.workspace import Workspace

    place = Workspace.at(workspace)
    result = promote_version(place.params(), place, version)
    champion = result.champion
    if json_lines:
        emit(
            {
                "model": champion.model,
                "champion": champion.number,
                "previous": result.previous,
                "changed": result.changed,
            }
        )
    elif result.changed:
        before = f"; version {result.previous} is @previous" if result.previous else ""
        say(f"{champion.model} version {champion.number} is @champion{before}")
    else:
        say(f"{champion.model} version {champion.number} was @champion already")


def predict(
    inputs: Annotated[list[Path], typer.Argument(help="Files or folders; views are grouped by name.")],
    model_version: Annotated[str, typer.Option(help="A number, @champion, @candidate or latest.")],
    out: Annotated[Path, typer.Option(help="Folder of the results, one subfolder a group.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other maps of the same group.")
    ] = False,
    dry_run: DryRunOption = False,
    workspace: WorkspaceOption = HERE,
    json_lines: JsonOption = False,
) -> None:
    """Map slides with a registered version: labels, confidence, overlay and modal mineralogy."""
    from mineralseg.stages.groups import find_groups

    groups = find_groups(inputs)
    if dry_run:
        for group in groups:
            listed = ", ".join(f"{view} {path.name}" for view, path in group.views.items())
            say(f"{group.name}: {group.fault or listed}")
        return
    from mineralseg.stages.predict import ModelIdentity, predict_groups
    from mineralseg.stages.register import fetch_bundle
    from mineralseg.stages.scoring import Predictor
    from mineralseg.stages.workspace import Workspace

    place = Workspace.at(workspace)
    version, bundle = fetch_bundle(place.params(), place, model_version)
    model = ModelIdentity(version.model, version.number, bundle.spec.weights_sha256)
    failed = 0
    for result in predict_groups(
        Predictor(bundle), groups, model=model, out=out, overwrite=overwrite, progress=tell
    ):
        failed += result.status == "failed"
        if json_lines:
            emit(_row(result, version.number))
        elif result.error is not None:
            tell(f"error: {result.error}")
        else:
            modes = ", ".join(f"{name} {value:.1f} %" for name, value in result.modal_percent.items())
            say(f"{result.group}: {result.status}; {modes}")
    if failed:
        tell(f"{failed} of {len(groups)} groups failed")
        raise typer.Exit(3)


def _row(result: Any, version: int) -> dict[str, Any]:
    return {
        "input": result.group,
        "status": result.status,
        "outputs": result.outputs,
        "modal_percent": result.modal_percent,
        "model_version": version,
        "error": None if result.error is None else str(result.error),
    }
