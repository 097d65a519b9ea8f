"""Crystal optics of a thin section: interference colours and sections of the indicatrix."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CHART_STEP_NM = 2.0
_CHART_END_NM = 8000.0
_XYZ_TO_LINEAR_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
_D65_XYZ = np.array([0.95047, 1.0, 1.08883])


def color_matching(wavelength_nm: Floats) -> Floats:
    """Return the CIE 1931 colour matching functions x, y, z at each wavelength, shape (n, 3).

    The multi-lobe fit of Wyman, Sloan & Shirley 2013, J. Computer Graphics Techniques 2(2), 1-11
    (https://jcgt.org/published/0002/02/01/); good to about 1 % of the peak.
    """

    def lobe(peak: float, center_nm: float, below_nm: float, above_nm: float) -> Floats:
        width = np.where(wavelength_nm < center_nm, below_nm, above_nm)
        return peak * np.exp(-0.5 * ((wavelength_nm - center_nm) / width) ** 2)

    x = lobe(1.056, 599.8, 37.9, 31.0) + lobe(0.362, 442.0, 16.0, 26.7) + lobe(-0.065, 501.1, 20.4, 26.2)
    y = lobe(0.821, 568.8, 46.9, 40.5) + lobe(0.286, 530.9, 16.3, 31.1)
    z = lobe(1.217, 437.0, 11.8, 36.0) + lobe(0.681, 459.0, 26.0, 13.8)
    return np.stack([x, y, z], axis=-1)


def interference_color(retardation_nm: Floats) -> Floats:
    """Return the Michel-Levy colour of a retardation between crossed polars at 45 degrees.

    Linear sRGB, shape (n, 3), relative to the lamp (white is 1, 1, 1); colours outside the gamut are
    cut at 0. A spectrum sin^2(pi * retardation / wavelength) of an equal-energy lamp, from 380 to 720 nm,
    seen through the colour matching functions and balanced to the white of the screen, as in Sorensen
    2013, doi:10.1127/0935-1221/2013/0025-2252. Dispersion of the birefringence is left out.
    """
    wavelength_nm = np.arange(380.0, 721.0, 4.0)
    weights = color_matching(wavelength_nm)
    weights = weights / weights.sum(0) * _D65_XYZ
    spectrum = np.sin(np.pi * retardation_nm[..., None] / wavelength_nm) ** 2
    color: Floats = np.clip(spectrum @ weights @ _XYZ_TO_LINEAR_SRGB.T, 0.0, None)
    return color


@cache
def michel_levy_chart() -> NDArray[np.float32]:
    """Return interference colours from 0 nm on in steps of `CHART_STEP_NM`, float32 (n, 3), read-only."""
    chart = interference_color(np.arange(0.0, _CHART_END_NM, CHART_STEP_NM)).astype(np.float32)
    chart.setflags(write=False)
    return chart


def rotations(normal_lab: Floats, normal_crystal: Floats, spin_rad: Floats) -> Floats:
    """Return rotations (n, 3, 3), crystal to microscope, that bring a crystal direction onto given ones.

    Args:
        normal_lab: unit directions in the microscope (x right, y up, z to the eye), (n, 3).
        normal_crystal: the unit direction in the crystal, (3,).
        spin_rad: the free turn about it, (n,). Uniform directions and spins give uniform orientations.
    """
    source = _frames(normal_crystal[None], np.zeros(1))[0]
    rotated: Floats = _frames(normal_lab, spin_rad) @ source.T
    return rotated


def _frames(axis: Floats, spin_rad: Floats) -> Floats:
    """Return right-handed frames (n, 3, 3) whose first column is `axis` and that are turned about it."""
    steep = np.abs(axis[:, 2:]) > 0.9
    other = np.where(steep, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    second = np.cross(other, axis)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    third = np.cross(axis, second)
    cos, sin = np.cos(spin_rad)[:, None], np.sin(spin_rad)[:, None]
    return np.stack([axis, cos * second + sin * third, cos * third - sin * second], axis=-1)


def section_indicatrix(
    indices: tuple[float, float, float], rotation: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return birefringence, slow azimuth and the two vibration directions of crystals lying in a section.

    The ellipse cut from the indicatrix by the plane of the section gives the refractive indices and the
    directions of the fast and the slow ray (Nesse 2013, *Introduction to Optical Mineralogy*, ch. 7).

    Args:
        indices: principal refractive indices.
        rotation: crystal to microscope, (n, 3, 3).

    Returns:
        Birefringence n_slow - n_fast (n,); azimuth of the slow ray in radians, counter-clockwise from
        right (n,); squared direction cosines of the fast and of the slow vibration on the axes of the
        indicatrix, each (n, 3).
    """
    impermeability = np.einsum("nij,j,nkj->nik", rotation, 1 / np.square(indices), rotation)
    values, vectors = np.linalg.eigh(impermeability[:, :2, :2])
    slow, fast = vectors[:, :, 0], vectors[:, :, 1]
    index = 1 / np.sqrt(values)
    azimuth_rad = np.arctan2(slow[:, 1], slow[:, 0]) % np.pi
    on_axes = [np.einsum("nij,ni->nj", rotation[:, :2], direction) ** 2 for direction in (fast, slow)]
    return index[:, 0] - index[:, 1], azimuth_rad, on_axes[0], on_axes[1]
