"""Analytic phantoms with closed-form line integrals, and an exact back-projection."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d


@dataclass(frozen=True)
class Ellipse:
    """mu inside an ellipse; centre relative to the axis (x right, y down), half axes in pixels."""

    mu: float
    x: float
    y: float
    a: float
    b: float
    tilt: float = 0.0

    def inside(self, x, y, margin=0.0):
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        u, v = (x - self.x) * c + (y - self.y) * s, -(x - self.x) * s + (y - self.y) * c
        return (u / (self.a - margin)) ** 2 + (v / (self.b - margin)) ** 2 <= 1

    def projections(self, angles, columns, axis):
        """Line integrals averaged over each detector pixel: (angles, columns), float64."""
        angles = np.asarray(angles)[:, None]
        half = np.hypot(self.a * np.cos(angles - self.tilt), self.b * np.sin(angles - self.tilt))
        centre = axis + self.x * np.cos(angles) + self.y * np.sin(angles)
        edges = np.clip((np.arange(columns + 1) - 0.5 - centre) / half, -1, 1)
        primitive = edges * np.sqrt(1 - edges**2) + np.arcsin(edges)
        return self.mu * self.a * self.b * np.diff(primitive, axis=1)


def project(ellipses, angles, columns, axis):
    return sum(e.projections(angles, columns, axis) for e in ellipses)


def coordinates(size):
    position = np.arange(size) - (size - 1) / 2
    return np.meshgrid(position, position, indexing="xy")


def truth(ellipses, size):
    x, y = coordinates(size)
    return sum(e.mu * e.inside(x, y) for e in ellipses)


def away_from_edges(ellipses, size, margin, radius):
    """Pixels of the disc that are further than ``margin`` from every edge."""
    x, y = coordinates(size)
    mask = np.hypot(x, y) < radius
    for e in ellipses:
        inner = e.inside(x, y, margin) if min(e.a, e.b) > margin else np.zeros_like(mask)
        mask &= inner == e.inside(x, y, -margin)
    return mask


def exact_fbp(sinograms, angles, weights, axis, *, size, length):
    """Band-limited back-projection without any approximation, float64, O(angles N^3).

    Zero padding to ``length``, spatial ramp, trigonometric interpolation of the filtered rows at
    axis + x cos a + y sin a: exp(2 pi i m t / M) separates into a product of matrices.
    """
    slices = sinograms.shape[0]
    j = np.fft.fftfreq(length, 1 / length)
    kernel = np.where(j % 2 == 1, -1 / (np.pi * np.where(j == 0, 1, j)) ** 2, 0.0)
    kernel[0] = 0.25
    rows = np.fft.rfft(sinograms, n=length, axis=2) * np.fft.rfft(kernel).real
    m = np.arange(length // 2 + 1)
    rows *= np.where((m == 0) | (m == length // 2), 1, 2)
    position = np.arange(size) - (size - 1) / 2
    image = np.zeros((slices, size, size))
    for k, angle in enumerate(angles):
        along_x = np.exp(2j * np.pi / length * np.outer(m, axis + position * np.cos(angle)))
        along_y = np.exp(2j * np.pi / length * np.outer(position * np.sin(angle), m))
        for s in range(slices):
            image[s] += weights[k] / length * ((along_y * rows[s, k]) @ along_x).real
    return image


ORGAN = (
    Ellipse(1.0, 2.0, -3.0, 0.86, 0.78, 0.3),
    Ellipse(-0.4, 0.25, 0.30, 0.20, 0.14, 1.0),
    Ellipse(0.5, -0.35, -0.20, 0.16, 0.10, -0.4),
    Ellipse(0.3, 0.05, -0.40, 0.12, 0.12),
)


def organ(radius):
    """A complete object with inclusions, scaled to fill a disc of ``radius`` pixels."""
    first = ORGAN[0]
    rest = (
        Ellipse(e.mu, e.x * radius, e.y * radius, e.a * radius, e.b * radius, e.tilt)
        for e in ORGAN[1:]
    )
    return (Ellipse(1.0, first.x, first.y, first.a * radius, first.b * radius, first.tilt), *rest)


def seen_by_a_detector(organ, angles, columns, axis, blur):
    """Line integrals of 8 strips a pixel, blurred by ``blur`` pixels (rms), averaged over pixels.

    Without blur sharp edges hold more than pixels can carry. What lies beyond the Nyquist
    frequency folds back into every row and fills the slice with a pattern of 3e-3 to 5e-3,
    whatever the number of angles, in full scans and half-acquisitions alike. Opposite views that
    interleave their samples (an axis a quarter of a pixel off) cancel most of it in a full scan;
    half-acquisitions have no opposite views outside of the overlap. No detector is that sharp:
    scintillator and optics of 0.5 px (1.2 px full width) are what the simulated scans have too.
    """
    fine = 8
    margin = 6
    scaled = [
        replace(e, mu=e.mu / fine, x=e.x * fine, y=e.y * fine, a=e.a * fine, b=e.b * fine)
        for e in organ
    ]
    width = (columns + 2 * margin) * fine
    fine_axis = (axis + margin + 0.5) * fine - 0.5
    rows = sum(e.projections(angles, width, fine_axis) for e in scaled)
    rows = gaussian_filter1d(rows, blur * fine, axis=1, truncate=5)
    return rows.reshape(len(rows), -1, fine).mean(axis=2)[:, margin:-margin]


class Phantoms:
    """What the tests of this room share."""

    Ellipse = Ellipse
    project = staticmethod(project)
    coordinates = staticmethod(coordinates)
    truth = staticmethod(truth)
    away_from_edges = staticmethod(away_from_edges)
    exact_fbp = staticmethod(exact_fbp)
    organ = staticmethod(organ)
    seen_by_a_detector = staticmethod(seen_by_a_detector)


@pytest.fixture(scope="session")
def phantoms():
    return Phantoms


@pytest.fixture
def one_thread_then_all():
    """Restores the number of compute threads."""
    from hipct.core.threads import set_thread_count

    yield set_thread_count
    set_thread_count(None)
