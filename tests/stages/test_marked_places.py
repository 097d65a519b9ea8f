"""Places that a person marked are used when they make sense, and named when they do not."""

from pathlib import Path

import numpy as np
import pytest

from mineralseg.core.registration import Registration
from mineralseg.stages.marked_places import register_marked_places

SPREAD = [(20, 20), (240, 25), (30, 235), (230, 240), (130, 120), (60, 180)]
SCALE = 6.0


def registered(
    tmp_path: Path, moving: list[tuple[float, float]], *, exchanged: bool = False, scale: float | None = SCALE
) -> Registration:
    fixed = [(SCALE * x + 15, SCALE * y + 9) for x, y in moving]
    rows = [(*f, *m) if exchanged else (*m, *f) for m, f in zip(moving, fixed, strict=True)]
    path = tmp_path / "places.csv"
    path.write_text(
        "\n".join(["moving_x,moving_y,fixed_x,fixed_y", *(",".join(map(str, row)) for row in rows)])
    )
    return register_marked_places(
        path,
        moving_size_px=(1600, 1600) if exchanged else (260, 260),
        fixed_size_px=(1600, 1600),
        scale=scale,
        max_scale_change=0.05,
        frames=("map", "image"),
    )


def test_places_that_agree_give_their_transform(tmp_path: Path) -> None:
    found = registered(tmp_path, SPREAD)
    assert found.verdict == "accepted"
    assert found.moving_to_fixed is not None
    expected = [[SCALE, 0, 15], [0, SCALE, 9], [0, 0, 1]]
    assert np.allclose(found.moving_to_fixed.matrix, expected, atol=1e-6)


def test_exchanged_columns_are_noticed_by_the_pixel_sizes(tmp_path: Path) -> None:
    found = registered(tmp_path, SPREAD, exchanged=True)
    assert found.verdict == "refused"
    assert "are the columns of the two images exchanged?" in found.reason
    assert registered(tmp_path, SPREAD, exchanged=True, scale=None).verdict == "accepted"


def test_a_place_outside_the_moving_image_is_named(tmp_path: Path) -> None:
    found = registered(tmp_path, [*SPREAD[:3], (261, 30), *SPREAD[4:]])
    assert found.verdict == "refused"
    assert "place 4 of places.csv is at (261, 30), outside a moving image of 260 x 260 px" in found.reason


@pytest.mark.parametrize("beside", [[], [(120.0, 200.0)]])
def test_places_on_a_line_are_refused_even_with_one_beside_it(
    tmp_path: Path, beside: list[tuple[float, float]]
) -> None:
    found = registered(tmp_path, [(20.0 + 30 * k, 20.0 + 30 * k) for k in range(6)] + beside)
    assert found.verdict == "refused"
    assert "lie on one line; pick more beside it" in found.reason
