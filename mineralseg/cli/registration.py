"""The command that registers loose files: register."""

from pathlib import Path
from typing import Annotated

import typer

from mineralseg.cli.options import DryRunOption, JsonOption, emit, say

UmOption = float | None


def register(
    fixed: Annotated[Path, typer.Argument(help="The image whose grid is kept.")],
    moving: Annotated[Path, typer.Argument(help="The image, or mineral map, to bring on it.")],
    out: Annotated[Path | None, typer.Option(help="Write MOVING on the grid of FIXED to this TIFF.")] = None,
    is_map: Annotated[
        bool,
        typer.Option("--map", help="MOVING is a coarse mineral map: found by edges, nearest pixel taken."),
    ] = False,
    landmarks: Annotated[
        Path | None,
        typer.Option(help="CSV of places you marked: moving_x, moving_y, fixed_x, fixed_y in pixels."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a picture to judge it by to this PNG.")] = None,
    pixel_um: Annotated[
        UmOption, typer.Option(min=0.001, help="um per pixel of FIXED.", show_default="what its file says")
    ] = None,
    moving_um: Annotated[
        UmOption, typer.Option(min=0.001, help="um per pixel of MOVING.", show_default="what its file says")
    ] = None,
    max_rotation_deg: Annotated[
        float | None,
        typer.Option(min=0.01, max=180, help="Largest turn.", show_default="any; 5 of a map"),
    ] = None,
    max_scale_change: Annotated[
        float, typer.Option(min=0.001, max=0.9, help="Largest relative change beyond the pixel sizes.")
    ] = 0.05,
    max_residual_px: Annotated[
        float | None,
        typer.Option(min=0.01, help="Refuse above this, px of FIXED.", show_default="2; a map: 1 map px"),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0.25, max=0.99, help="Refuse a view below this.")] = 0.25,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out and --picture.")] = False,
    dry_run: DryRunOption = False,
    json_lines: JsonOption = False,
) -> None:
    """Bring an image or a mineral map on another image: transform, residual and verdict."""
    from mineralseg.errors import Refused
    from mineralseg.stages.register_pair import Pair, PairLimits, register_pair
    from mineralseg.stages.registering import NOT_TRIED

    pair = Pair(fixed, moving, is_map, landmarks, pixel_um, moving_um)
    limits = PairLimits(max_rotation_deg, max_scale_change, max_residual_px, min_score)
    found = register_pair(pair, limits, out=out, picture=picture, overwrite=overwrite, dry_run=dry_run)
    if json_lines:
        emit(found.to_row())
    if found.verdict == "refused":
        searched = landmarks is None and found.method != NOT_TRIED
        raise Refused(
            f"{moving} on {fixed}",
            found=found.reason,
            expected="two images of one field" if searched else "",
            fix="check the files; or mark at least 5 places and pass them with --landmarks"
            if searched
            else "",
        )
    if not json_lines:
        say(
            f"accepted ({found.method}): turn {found.rotation_deg:.2f} deg, scale {found.scale:.4f}, "
            f"residual {found.residual_px:.2f} px, {found.inliers} places, score {found.score:.2f}"
        )
