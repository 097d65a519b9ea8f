"""Claim: the memory of a prediction does not grow with the height of the slide.

Predicts slides of one width and two heights, each in a process of its own, with the network left out
(a classifier that costs nothing), and prints the ratio of the peak memories above the imports.
"""

import resource
import subprocess
import sys

WIDTH_PX, CLASSES = 6000, 7
HEIGHTS_PX = (2000, 16000)

CHILD = f"""
import resource, sys
import numpy as np, torch
from mineralseg.engine.predict import Tiling, predict_strips

class Rows:
    height, width = int(sys.argv[1]), {WIDTH_PX}
    def read_rows(self, row, height):
        return np.full((height, self.width, 6), row % 256, np.uint8)

def classify(tiles):
    return torch.full((len(tiles), {CLASSES}, *tiles.shape[2:]), 1 / {CLASSES})

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tiling = Tiling(256, 64, 4, 2, 1)
rows = sum(len(s.classes_HW) for s in predict_strips(Rows(), classify, classes={CLASSES}, tiling=tiling))
assert rows == Rows.height
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def peak_mib(height_px: int) -> float:
    """Return the peak memory of one prediction above that of its imports, MiB."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(height_px)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    low, high = (peak_mib(height) for height in HEIGHTS_PX)
    print(
        f"width {WIDTH_PX} px, heights {HEIGHTS_PX[0]} and {HEIGHTS_PX[1]} px: {low:.0f} and {high:.0f} MiB"
    )
    print(f"memory ratio {high / low:.2f} for {HEIGHTS_PX[1] / HEIGHTS_PX[0]:.0f} times the pixels")
