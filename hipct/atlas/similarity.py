"""A similarity between two volumes, fitted to their grey values.

The model is ``o(T x) = a z(x) + b + c . x + e lap z(x)`` for the voxels ``x`` of a zoom ``z`` in an
overview ``o``. Each part of the zoom has its own gain and offset, its own ramp, since local
tomography changes levels slowly over the field, and its own Laplacian, since one of the two is
sharper: what is not modelled pulls at edges, and so at the scale. With
``T x = position + scale R (x - centre)``, a small similarity

    D x = x + w x (x - centre) + l (x - centre) + t

on the side of the zoom is found by least squares from ``o(T x) = ... +
a grad z . (D x - x)``, and T becomes ``T D^-1`` (inverse compositional Gauss-Newton: Baker and
Matthews, Int. J. Comput. Vis. 56 (2004) 221, section 3.2; with gain and offset projected out it
climbs the normalised cross-correlation: Evangelidis and Psarakis, IEEE Trans. Pattern Anal. 30
(2008) 1858). The slopes
are those of the zoom, whose voxels are finer and less noisy: slopes of the overview would bring the
overview's noise into the equations twice, and with it a bias towards places between voxels, where
interpolation smooths.

Vectors are (z, y, x) in micrometres. A rotation by ``g`` about z takes y, which points down, to x,
as the descriptions of the Human Organ Atlas count it (and ``Transform.about_z``):
``y' = y cos g - x sin g, x' = y sin g + x cos g``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.atlas.spline import interpolate
from hipct.core.arrays import Array, namespace

Float = NDArray[np.float64]

PARAMETERS = 7
"""Rotations about z, y and x (radians), logarithm of the scale, translations along z, y, x (um)."""

_TURNS: Float = np.array([
    [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
    [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
    [[0, 1, 0], [-1, 0, 0], [0, 0, 0]],
], np.float64)  # fmt: skip
_STEPS = 15
_SMALL = 5e-4
_FLAT = 1e-4
_LARGE = 1.5
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False)
class Similarity:
    """From a zoom to its overview: ``position + scale rotation (x - centre)``, in um.

    Attributes
    ----------
    scale : float
    rotation : (3, 3), of (z, y, x)
    centre : (3,), in the zoom
    position : (3,), where the centre lies in the overview
    """

    scale: float
    rotation: Float
    centre: Float
    position: Float

    @property
    def translation_um(self) -> Float:
        """Of ``scale rotation x + translation``."""
        shift: Float = self.position - self.scale * self.rotation @ self.centre
        return shift

    @property
    def angle_deg(self) -> float:
        """Rotation about z, of what lies across z, from y to x."""
        r = self.rotation
        return float(np.degrees(np.arctan2(r[2, 1] - r[1, 2], r[1, 1] + r[2, 2])))

    @property
    def tilt_deg(self) -> float:
        """Angle between the z axes."""
        return float(np.degrees(np.hypot(self.rotation[1, 0], self.rotation[2, 0])))

    def apply(self, points_um: ArrayLike) -> Float:
        """Points of the zoom, (..., 3), in the overview."""
        away = np.asarray(points_um, np.float64) - self.centre
        moved: Float = self.position + self.scale * away @ self.rotation.T
        return moved

    def after(self, step: Float) -> Similarity:
        """``T D^-1`` for the parameters of D."""
        turn = rotation(step[:3])
        scale = self.scale / np.exp(step[3])
        matrix = self.rotation @ turn.T
        return replace(
            self,
            scale=float(scale),
            rotation=matrix,
            position=self.position - scale * matrix @ step[4:],
        )


def rotation(turns: ArrayLike) -> Float:
    """Rotation matrix of (z, y, x) for a vector of rotations about z, y and x (Rodrigues)."""
    vector = np.asarray(turns, np.float64)
    angle = float(np.linalg.norm(vector))
    generator = np.tensordot(vector, _TURNS, 1)
    if angle < 1e-12:
        return np.eye(3) + generator
    matrix: Float = (
        np.eye(3)
        + np.sin(angle) / angle * generator
        + (1 - np.cos(angle)) / angle**2 * generator @ generator
    )
    return matrix


class Crop(NamedTuple):
    """A region of the overview as a spline."""

    coefficients: Array
    origin_um: Float
    step_um: Float


class Part(NamedTuple):
    """Voxels of a region of the zoom."""

    away_um: Array
    """(3, voxels) float64, from the zoom's centre."""
    basis: Array
    """(13, voxels) float64: 1, ramps along three axes, values, Laplacian, changes by parameters."""


def make_part(away_um: Array, values: Array, slopes_per_um: Array, bend: Array) -> Part:
    """A part of its voxels' places (3, n), values (n,), slopes (3, n) and Laplacian (n,)."""
    xp = namespace(away_um, values, slopes_per_um, bend)
    slopes = slopes_per_um.astype(np.float64)
    turns = [(xp.asarray(turn) @ away_um * slopes).sum(axis=0) for turn in _TURNS]
    level = values.astype(np.float64)
    middle = away_um - away_um.mean(axis=1, keepdims=True)
    ramps = middle / xp.sqrt((middle**2).mean(axis=1, keepdims=True) + 1e-30)
    growth = (away_um * slopes).sum(axis=0)
    changes = xp.concatenate([xp.stack([*turns, growth]), slopes])
    bend = bend.astype(np.float64)
    bend = bend / xp.sqrt((bend**2).mean() + 1e-30)
    rows = [xp.ones_like(level)[None], ramps, (level - level.mean())[None], bend[None], changes]
    return Part(away_um, xp.concatenate(rows))


@dataclass(frozen=True, eq=False)
class Fit:
    """A similarity and what the grey values say of it.

    Attributes
    ----------
    place : Similarity
    ncc : float
        Normalised cross-correlation over all parts, each beside its own ramp.
    curvature, spread : (7, 7) float64
        Covariance of the parameters of D: from the residuals' size alone, and from the
        disagreement of the parts, which minds that residuals of neighbours are alike.
    """

    place: Similarity
    ncc: float
    curvature: Float
    spread: Float


def fit_similarity(
    parts: Sequence[Part], crops: Sequence[Crop], start: Similarity, *, radius_um: float
) -> Fit:
    """Fit a similarity by grey values, from a start that is right to about a voxel.

    Parameters
    ----------
    parts : sequence of Part
    crops : sequence of Crop
        For each part the region of the overview around it.
    start : Similarity
    radius_um : float
        Half the zoom's size: what a rotation is multiplied with to be a length.

    Returns
    -------
    Fit
        Its ``ncc`` is below the true one where the start was too far.
    """
    voxel = float(np.mean(crops[0].step_um))
    lengths = np.array([radius_um] * 4 + [1.0] * 3) / voxel
    fit, normal, gradient = _equations(parts, crops, start)
    damping = 1e-3
    for _ in range(_STEPS):
        step = _solve(normal, gradient, damping)
        largest = float(np.abs(step * lengths).max())
        if largest < _SMALL:
            break
        tried = _equations(parts, crops, fit.place.after(step * min(1.0, _LARGE / largest)))
        # Near the best place the correlation is flat, and the equations know better.
        if tried[0].ncc > fit.ncc - _FLAT:
            fit, normal, gradient = tried
            damping /= 30
        else:
            damping = max(damping, 1e-4) * 100
            if damping > 1e3:
                break
    return fit


def _solve(normal: Float, gradient: Float, damping: float) -> Float:
    """Levenberg-Marquardt step in parameters of unit curvature."""
    size = np.sqrt(np.maximum(np.diag(normal), 1e-30))
    system = normal / np.outer(size, size) + damping * np.eye(PARAMETERS)
    step: Float = np.linalg.lstsq(system, gradient / size, rcond=None)[0] / size
    return step


def _equations(
    parts: Sequence[Part], crops: Sequence[Crop], place: Similarity
) -> tuple[Fit, Float, Float]:
    """Normal equations of a step, and how well the present place fits."""
    xp = namespace(parts[0].basis)
    matrix = xp.asarray(place.scale * place.rotation)
    grams = []
    for part, crop in zip(parts, crops):
        shift = xp.asarray((place.position - crop.origin_um) / crop.step_um)
        points = matrix @ part.away_um / xp.asarray(crop.step_um)[:, None] + shift[:, None]
        values, inside = interpolate(crop.coefficients, points)
        rows = xp.concatenate([part.basis * inside, values.astype(np.float64)[None]])
        grams.append(rows @ rows.T)
    fetched = xp.stack(grams)
    gram: Float = fetched if xp is np else fetched.get()
    normal, scores, residual, total = _eliminate(gram)
    together = total[:, 0].sum() * total[:, 1].sum()
    ncc = float(total[:, 2].sum() / np.sqrt(together)) if together > 0 else 0.0
    gradient = scores.sum(axis=0)
    inverse = np.asarray(np.linalg.pinv(normal, hermitian=True, rcond=1e-14), np.float64)
    freedom = max(float(gram[:, 0, 0].sum()) - PARAMETERS - 6 * len(parts), 1.0)
    curvature: Float = inverse * (residual / freedom)
    # Parts as clusters: Liang and Zeger, Biometrika 73 (1986) 13.
    apart = scores - gradient / len(parts)
    correction = len(parts) / max(len(parts) - PARAMETERS / 3, 1.0)
    spread: Float = inverse @ (apart.T @ apart) @ inverse * correction
    return Fit(place, ncc, curvature, spread), normal, gradient


def _eliminate(gram: Float) -> tuple[Float, Float, float, Float]:
    """What each part has of its own taken out of its sums of products.

    Returns
    -------
    normal : (7, 7)
    scores : (parts, 7)
    residual : float
        Sum of squares that is left.
    total : (parts, 3)
        Sums of squares of zoom and overview beside their ramps, and of products.
    """
    left = gram
    for k in range(4):
        left = _without(left, k)
    total = np.stack([left[:, 4, 4], left[:, -1, -1], left[:, 4, -1]], axis=1)
    # A part that looks like the overview's negative has nothing to say.
    gain = np.maximum(left[:, 4, -1] / np.maximum(left[:, 4, 4], _NOTHING), 0.0)
    left = _without(_without(left, 4), 5)
    normal: Float = (gain[:, None, None] ** 2 * left[:, 6:-1, 6:-1]).sum(axis=0)
    return normal, gain[:, None] * left[:, 6:-1, -1], float(left[:, -1, -1].sum()), total


def _without(gram: Float, k: int) -> Float:
    """Products of rows from which a multiple of row k is taken, so that none is like it."""
    pivot = np.maximum(gram[:, k, k], _NOTHING)[:, None, None]
    left: Float = gram - gram[:, :, k : k + 1] * gram[:, k : k + 1, :] / pivot
    return left
