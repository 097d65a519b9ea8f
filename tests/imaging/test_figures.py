import cv2
import numpy as np

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.legend import Legend, Mineral
from mineralseg.imaging.figures import confusion_figure

LEGEND = Legend.of(Mineral(code, f"mineral {code}", f"#0000{code:02x}") for code in range(3))
ONE_ABSENT = ConfusionMatrix(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]))


def test_the_figure_is_a_picture_and_the_same_bytes_every_time() -> None:
    data = confusion_figure(ONE_ABSENT, LEGEND)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert min(picture.shape[:2]) > 200
    assert confusion_figure(ONE_ABSENT, LEGEND) == data


def test_no_pixels_make_a_figure_too() -> None:
    assert confusion_figure(ConfusionMatrix.zero(3), LEGEND).startswith(b"\x89PNG")


def test_the_figure_shows_rows_and_not_amounts() -> None:
    tenfold = ConfusionMatrix(ONE_ABSENT.counts * 10)
    assert confusion_figure(tenfold, LEGEND) == confusion_figure(ONE_ABSENT, LEGEND)
    turned = ConfusionMatrix(ONE_ABSENT.counts.T)
    assert confusion_figure(turned, LEGEND) != confusion_figure(ONE_ABSENT, LEGEND)
