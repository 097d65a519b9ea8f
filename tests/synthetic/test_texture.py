import numpy as np
import pytest
from scipy import stats

from mineralseg.synthetic.texture import (
    TABLE_STEP_PX,
    Patterns,
    lamella_table,
    line_table,
    look_up,
    noise_tile,
    upper_tail,
    wrapped,
)


def test_noise_is_standard_and_wraps_without_a_seam():
    tile = noise_tile(np.random.default_rng(1), size=128, wavelength_px=(16, 64), slope=1.0)
    assert tile.mean() == pytest.approx(0, abs=1e-5)
    assert tile.std() == pytest.approx(1, abs=1e-5)
    seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
    inside = np.abs(np.diff(tile, axis=1)).mean()
    assert seam < 1.5 * inside


def test_noise_stays_in_its_band_of_wavelengths():
    tile = noise_tile(np.random.default_rng(2), size=128, wavelength_px=(8, 32), slope=1.0)
    power = np.abs(np.fft.rfft2(tile)) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    inside = (frequency >= 1 / 32) & (frequency <= 1 / 8)
    assert power[inside].sum() > 0.999 * power.sum()


def test_wrapped_paves_the_plane():
    tile = np.arange(16, dtype=np.float32).reshape(4, 4)
    piece = wrapped(tile, slice(3, 9), 10)
    assert np.array_equal(piece, np.tile(tile, (3, 3))[3:9, :10])


@pytest.mark.parametrize("share", [0.5, 0.16])
def test_lamellae_take_their_share(share):
    table = lamella_table(np.random.default_rng(3), share=share)
    assert set(np.unique(table)) == {0.0, 1.0}
    assert table.mean() == pytest.approx(share, abs=0.05)


def test_lines_are_thin_and_spaced_as_asked():
    table = line_table(np.random.default_rng(4), spacing_px=20, width_px=0.7)
    peaks = np.flatnonzero((table[1:-1] > table[:-2]) & (table[1:-1] >= table[2:]) & (table[1:-1] > 0.1))
    spacing_px = len(table) * TABLE_STEP_PX / len(peaks)
    assert spacing_px == pytest.approx(20, rel=0.2)
    assert (table > 0.05).mean() < 0.25


def test_look_up_repeats_beyond_its_end():
    tables = np.arange(16, dtype=np.float32).reshape(2, 8)
    position_px = np.array([0.0, 1.0, 2.0, 3.0, -1.0], np.float32)
    assert look_up(tables, 1, position_px).tolist() == [8, 12, 8, 12, 12]


def test_upper_tail_is_the_normal_quantile():
    share = np.array([0.4, 0.1, 0.01, 0.001])
    assert np.allclose(upper_tail(share), stats.norm.isf(share), atol=0.004)
    assert upper_tail(np.zeros(1))[0] > 8


def test_patterns_repeat_with_their_size():
    patterns = Patterns.draw(np.random.default_rng(5), canvas_px=100, pixel_size_um=1.5)
    rows, columns = np.array([3, -7], np.int32), np.array([5, 900], np.int32)
    here = patterns.at(rows, columns)
    assert here.shape == (2, 5)
    assert np.array_equal(here, patterns.at(rows + patterns.size, columns - patterns.size))
