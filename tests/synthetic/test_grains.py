import numpy as np
import pytest

from mineralseg.synthetic.grains import PLATY_ASPECT, Packing, pack_grains, partition


def packed(seed: int, platy_share: float = 0.0) -> Packing:
    return pack_grains(
        np.random.default_rng(seed), canvas_px=200, radius_px=12, sorting=0.4, platy_share=platy_share
    )


def flat_warp() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((128, 128), np.float32), np.zeros((128, 128), np.float32)


def powers(packing: Packing, side: int) -> np.ndarray:
    """Return the power of every pixel to every grain, by the definition."""
    y, x = np.mgrid[:side, :side].astype(float)
    dx = x[..., None] - packing.center_xy_px[:, 0]
    dy = -(y[..., None] - packing.center_xy_px[:, 1])
    along = dx * np.cos(packing.angle_rad) + dy * np.sin(packing.angle_rad)
    across = dy * np.cos(packing.angle_rad) - dx * np.sin(packing.angle_rad)
    return along**2 / packing.aspect + across**2 * packing.aspect - packing.radius_px**2


def test_the_partition_is_the_power_diagram_of_its_definition():
    packing = packed(1, platy_share=0.2)
    found = partition(packing, canvas_px=200, warp=flat_warp(), rounding_px=1.0)
    owner = powers(packing, 200).argmin(-1)
    assert (found.grain_HW == owner).mean() > 0.999


def test_contacts_are_where_the_owner_changes():
    found = partition(packed(2), canvas_px=200, warp=flat_warp(), rounding_px=1.0)
    changes = found.grain_HW[:, 1:] != found.grain_HW[:, :-1]
    near = np.minimum(found.contact_px_HW[:, 1:], found.contact_px_HW[:, :-1])
    assert near[changes].max() < 1.0
    assert found.contact_px_HW.min() >= 0
    assert (found.rounded_px_HW <= found.contact_px_HW + 1e-3).all()


def test_corners_are_worn_and_faces_are_not():
    """Where three grains meet two contacts are at no distance: -r log(1 + 1) is worn off, on a face none."""
    found = partition(packed(3), canvas_px=200, warp=flat_warp(), rounding_px=2.0)
    worn = found.contact_px_HW - found.rounded_px_HW
    behind = np.sort(powers(packed(3), 200), axis=-1)
    behind -= behind[..., :1]
    corner = (behind[..., 2] < 20) & (behind[..., 3] > 400)
    face = (behind[..., 1] < 20) & (behind[..., 2] > 400)
    assert worn[corner].mean() == pytest.approx(2 * np.log(2), rel=0.15)
    assert worn[face].mean() < 0.1 * worn[corner].mean()


def test_sizes_and_shapes_follow_the_recipe():
    packing = pack_grains(
        np.random.default_rng(4), canvas_px=2000, radius_px=20, sorting=0.4, platy_share=0.2
    )
    platy = packing.aspect > PLATY_ASPECT
    logs = np.log(packing.radius_px[~platy] / 20)
    assert logs.mean() == pytest.approx(0, abs=0.05)
    assert logs.std() == pytest.approx(0.4, abs=0.05)
    area = packing.radius_px**2
    assert area[platy].sum() / area.sum() == pytest.approx(0.2, abs=0.06)


def test_circles_hardly_overlap_after_packing():
    packing = packed(5)
    apart = np.linalg.norm(packing.center_xy_px[:, None] - packing.center_xy_px[None], axis=-1)
    touch = packing.radius_px[:, None] + packing.radius_px[None]
    overlap = np.clip(touch - apart, 0, None)
    np.fill_diagonal(overlap, 0)
    assert overlap.max(1).mean() < 0.35 * packing.radius_px.mean()
