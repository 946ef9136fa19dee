"""Local tomography: bodies larger than the field of a half-acquisition, on a ground of zero.

Each phantom's bias (mean of the error), cupping (error at the rim less that at the centre) and
structure (rms after one affine fit) are those of the disc of 0.95 R, 4 px from edges, over mu.
"""

from typing import NamedTuple

import numpy as np
import pytest

from hipct.preparation.outside import continue_outside
from hipct.reconstruction import fbp
from hipct.reconstruction.half import extended_width

COLUMNS, AXIS, ANGLES = 256, 228.25, 900
THETA = np.arange(ANGLES) * 2 * np.pi / ANGLES


class Figures(NamedTuple):
    bias: float
    cupping: float
    structure: float


def lobes(phantoms, r):
    return phantoms.lobes(r)


def body(phantoms, r):
    return phantoms.organ(r / 0.86)


def disc(phantoms, r):
    return (
        phantoms.Ellipse(1.0, 0.0, 0.0, r, r),
        phantoms.Ellipse(0.5, 0.4 * r, 0.2 * r, 20, 20),
        phantoms.Ellipse(-0.5, -0.3 * r, 0.3 * r, 30, 20),
    )


def figures(phantoms, ellipses, axis=AXIS, extra=0, noise=0.0):
    reach = max(axis, COLUMNS - 1 - axis)
    size = extended_width(COLUMNS, axis)
    rows = phantoms.seen_by_a_detector(ellipses, THETA, COLUMNS, axis, 0.5)[None]
    rows = rows + noise * rows.max() * np.random.default_rng(0).standard_normal(rows.shape)
    if extra:
        rows, axis = continue_outside(rows.astype(np.float32), THETA, axis, extra)
    image = fbp(rows, THETA, axis, acquisition="half", size=size)[0]
    truth = phantoms.truth(ellipses, size)
    inner = phantoms.away_from_edges(ellipses, size, 4, 0.95 * reach)
    distance = np.hypot(*phantoms.coordinates(size))
    error = image - truth
    design = np.stack([image[inner], np.ones(np.count_nonzero(inner))], axis=1)
    fitted = design @ np.linalg.lstsq(design, truth[inner], rcond=None)[0]
    rim, centre = inner & (distance > 0.85 * reach), inner & (distance < 0.15 * reach)
    return Figures(
        float(error[inner].mean()),
        float(error[rim].mean() - error[centre].mean()),
        float(np.sqrt(np.mean((fitted - truth[inner]) ** 2))),
    )


@pytest.mark.parametrize("phantom", [disc, body, lobes])
@pytest.mark.parametrize(("times", "limits"), [
    (0.9, Figures(1e-3, 1e-3, 4e-3)), (1.0, Figures(2e-3, 3e-3, 5e-3)),
    (1.1, Figures(5e-3, 8e-3, 6e-3)), (1.25, Figures(0.015, 0.015, 0.02)),
    (1.5, Figures(0.05, 0.05, 0.03)),
])  # fmt: skip
def test_structure_and_level(phantoms, phantom, times, limits):
    ellipses = phantom(phantoms, times * AXIS)
    edge, found = figures(phantoms, ellipses), figures(phantoms, ellipses, extra=128)
    assert abs(found.bias) < limits.bias
    assert abs(found.cupping) < limits.cupping
    assert found.structure < limits.structure
    if times > 1:
        # What edge values alone leave behind.
        assert edge.bias < -0.03
        assert edge.cupping < -0.03
        assert edge.structure > 4 * found.structure or times > 1.2


@pytest.mark.parametrize("axis", [COLUMNS - 1 - AXIS, AXIS, 215.0, 200.6])
def test_either_side_and_any_overlap(phantoms, axis):
    reach = max(axis, COLUMNS - 1 - axis)
    found = figures(phantoms, lobes(phantoms, 1.1 * reach), axis=axis, extra=100)
    assert found.structure < 6e-3
    assert abs(found.bias) < 5e-3


def test_noise_does_not_mislead(phantoms):
    """Noise of 1 % of the largest line integral: the level stays where it is."""
    ellipses = lobes(phantoms, 1.1 * AXIS)
    found = figures(phantoms, ellipses, extra=100, noise=0.01)
    assert abs(found.bias) < 5e-3
    assert abs(found.cupping) < 8e-3
