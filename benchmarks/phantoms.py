"""Analytic phantoms of ellipses with closed-form line integrals, for benchmarks and tests.

Positions are pixels from the rotation axis, x to the right and y down, as in every slice of hipct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

_STRIPS = 8
_MARGIN = 6
_SAMPLES = 5_000_000


@dataclass(frozen=True)
class Ellipse:
    """mu inside an ellipse; centre relative to the axis (x right, y down), half axes in pixels."""

    mu: float
    x: float
    y: float
    a: float
    b: float
    tilt: float = 0.0

    def inside(self, x: ArrayLike, y: ArrayLike, margin: float = 0.0) -> Mask:
        """Whether places lie inside of the ellipse with half axes smaller by a margin."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        across, down = np.asarray(x) - self.x, np.asarray(y) - self.y
        u, v = across * c + down * s, -across * s + down * c
        found: Mask = (u / (self.a - margin)) ** 2 + (v / (self.b - margin)) ** 2 <= 1
        return found

    def projections(self, angles: ArrayLike, columns: int, axis: float) -> Float:
        """Line integrals averaged over each detector pixel: (angles, columns)."""
        turned = np.asarray(angles, np.float64)[:, None]
        half = np.hypot(self.a * np.cos(turned - self.tilt), self.b * np.sin(turned - self.tilt))
        centre = axis + self.x * np.cos(turned) + self.y * np.sin(turned)
        edges = np.clip((np.arange(columns + 1) - 0.5 - centre) / half, -1, 1)
        primitive = edges * np.sqrt(1 - edges**2) + np.arcsin(edges)
        lines: Float = self.mu * self.a * self.b * np.diff(primitive, axis=1)
        return lines


Body = Sequence[Ellipse]

ORGAN = (
    Ellipse(1.0, 2.0, -3.0, 0.86, 0.78, 0.3),
    Ellipse(-0.4, 0.25, 0.30, 0.20, 0.14, 1.0),
    Ellipse(0.5, -0.35, -0.20, 0.16, 0.10, -0.4),
    Ellipse(0.3, 0.05, -0.40, 0.12, 0.12),
)


def organ(radius: float) -> tuple[Ellipse, ...]:
    """A complete object of mu 1 with inclusions, scaled to fill a disc of ``radius`` pixels."""
    first = ORGAN[0]
    rest = (
        Ellipse(e.mu, e.x * radius, e.y * radius, e.a * radius, e.b * radius, e.tilt)
        for e in ORGAN[1:]
    )
    return (Ellipse(1.0, first.x, first.y, first.a * radius, first.b * radius, first.tilt), *rest)


def lobes(radius: float) -> tuple[Ellipse, ...]:
    """Two lobes of different density, no ellipse together, with inclusions up to the rim."""
    r = radius
    return (
        Ellipse(1.0, -0.35 * r, 0.05 * r, 0.62 * r, 0.9 * r, 0.2),
        Ellipse(0.9, 0.4 * r, -0.1 * r, 0.58 * r, 0.8 * r, -0.3),
        Ellipse(-0.3, 0.0, 0.0, 0.3 * r, 0.6 * r, 0.2),
        Ellipse(0.4, -0.85 * r, 0.0, 0.12 * r, 0.2 * r),
        Ellipse(-0.5, 0.3 * r, 0.6 * r, 0.1 * r, 0.1 * r),
        Ellipse(0.6, 0.8 * r, 0.3 * r, 0.08 * r, 0.08 * r),
        Ellipse(-0.6, -0.3 * r, -0.7 * r, 0.1 * r, 0.15 * r),
    )


def project(body: Body, angles: ArrayLike, columns: int, axis: float) -> Float:
    """Line integrals of a body averaged over pixels: (angles, columns)."""
    lines: Float = sum(
        (e.projections(angles, columns, axis) for e in body), np.zeros((np.size(angles), columns))
    )
    return lines


def seen_by_a_detector(
    body: Body, angles: ArrayLike, columns: int, axis: float, blur: float
) -> Float:
    """Line integrals of 8 strips a pixel, blurred by ``blur`` pixels (rms), averaged over pixels.

    Without blur sharp edges hold more than pixels can carry. What lies beyond the Nyquist
    frequency folds back into every row and fills the slice with a pattern of 3e-3 to 5e-3,
    whatever the number of angles, in full scans and half-acquisitions alike. Opposite views that
    interleave their samples (an axis a quarter of a pixel off) cancel most of it in a full scan;
    half-acquisitions have no opposite views outside of the overlap. No detector is that sharp:
    scintillator and optics of 0.5 px (1.2 px full width) are what the simulated scans have too.
    """
    from scipy.ndimage import gaussian_filter1d  # the other phantoms do with NumPy alone

    fine = _STRIPS
    scaled = [
        replace(e, mu=e.mu / fine, x=e.x * fine, y=e.y * fine, a=e.a * fine, b=e.b * fine)
        for e in body
    ]
    width = (columns + 2 * _MARGIN) * fine
    fine_axis = (axis + _MARGIN + 0.5) * fine - 0.5
    turned = np.asarray(angles, np.float64)
    rows = np.empty((turned.size, columns))
    block = max(1, _SAMPLES // width)
    for start in range(0, turned.size, block):
        part = project(scaled, turned[start : start + block], width, fine_axis)
        part = gaussian_filter1d(part, blur * fine, axis=1, truncate=5)
        pixels = part.reshape(len(part), -1, fine).mean(axis=2)
        rows[start : start + block] = pixels[:, _MARGIN:-_MARGIN]
    return rows


def coordinates(size: int) -> tuple[Float, Float]:
    """Columns x and rows y of the pixels of a slice, each (size, size)."""
    position = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(position, position, indexing="xy")
    return x, y


def truth(body: Body, size: int) -> Float:
    """Value of a body at the middle of each pixel, (size, size)."""
    x, y = coordinates(size)
    image: Float = sum((e.mu * e.inside(x, y) for e in body), np.zeros(x.shape))
    return image


def away_from_edges(body: Body, size: int, margin: float, radius: float) -> Mask:
    """Pixels of the disc that are further than ``margin`` from every edge, (size, size)."""
    x, y = coordinates(size)
    mask: Mask = np.hypot(x, y) < radius
    for e in body:
        inner = e.inside(x, y, margin) if min(e.a, e.b) > margin else np.zeros_like(mask)
        mask &= inner == e.inside(x, y, -margin)
    return mask
