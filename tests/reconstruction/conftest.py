"""Analytic phantoms with closed-form line integrals, and an exact back-projection."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.phantoms import (
    Ellipse,
    away_from_edges,
    coordinates,
    lobes,
    organ,
    project,
    seen_by_a_detector,
    truth,
)


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


class Phantoms:
    """What the tests of this room share."""

    Ellipse = Ellipse
    project = staticmethod(project)
    coordinates = staticmethod(coordinates)
    truth = staticmethod(truth)
    away_from_edges = staticmethod(away_from_edges)
    exact_fbp = staticmethod(exact_fbp)
    organ = staticmethod(organ)
    lobes = staticmethod(lobes)
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
