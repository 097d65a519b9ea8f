from typing import Any

from mineralseg.models.bundle import BundleSpec, ClassSpec, Scores, ViewSpec

MEAN, DEVIATION = (100.0, 90.0, 80.0, 60.0), (30.0, 31.0, 32.0, 20.0)
SCORES = Scores(
    samples=("s1", "s2"), pixel_accuracy=0.9, mean_iou=0.75, iou={"quartz": 0.75, "mica": None, "pores": None}
)


def make_spec(**changes: Any) -> BundleSpec:
    values: dict[str, Any] = {
        "schema_version": 1,
        "arch": "unet",
        "encoder": "mobilenet_v2",
        "mode": "stack",
        "views": (ViewSpec(illumination="PPL", bands=3), ViewSpec(illumination="XPL0", bands=1)),
        "classes": (
            ClassSpec(code=0, name="pores", color="#000000", density_g_cm3=None),
            ClassSpec(code=3, name="quartz", color="#ffffff", density_g_cm3=2.65),
            ClassSpec(code=9, name="mica", color="#00ff00", density_g_cm3=2.9),
        ),
        "mean": MEAN,
        "deviation": DEVIATION,
        "downsample": 2,
        "pixel_size_um": (0.5, 1.25),
        "tile_px": 64,
        "overlap_px": 32,
        "batch_size": 2,
        "test_time_views": 4,
        "training": {"fingerprint": "f" * 64},
        "scores": None,
        "weights_sha256": "0" * 64,
    }
    return BundleSpec(**values | changes)
