"""Finding where a zoom lies in its overview.

1. :mod:`register_search` looks for the zoom in the whole overview, at all rotations about z, at a
   level where it is some 20 voxels across, by masked normalised cross-correlation.
2. Each of the best places is fitted as a similarity by its grey values (:mod:`similarity`). The
   best of them is fitted again at every finer level, to the finest that both volumes have; there up
   to 27 parts spread over the zoom are read, whatever its size.
3. The errors follow from the residuals, and from how far the parts disagree.
4. The place is *found* only if it fits better than all others by far, and if the parts, each looked
   for on its own, agree (:mod:`register_agreement`); else it is *uncertain*.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.atlas.register_agreement import agreement
from hipct.atlas.register_levels import Levels
from hipct.atlas.register_parts import Box, ZoomField, overview_crops, zoom_parts
from hipct.atlas.register_search import Candidate, Start, finest_level, search, search_level
from hipct.atlas.similarity import Crop, Fit, Similarity, fit_similarity
from hipct.core.errors import InputError
from hipct.core.progress import Observer, Silent
from hipct.volume.open import Volume, open_volume

Float = NDArray[np.float64]

FOUND = 0.99
"""Confidence from which a place is called found."""

_CANDIDATES = 12
_MEMORY_BYTES = 2 * 2**30
_LARGEST_SCALE = 0.05
_CLEAR = 0.8
_BLUR_PX = 0.7
# Where noise is low, errors of the scale are larger than their estimate from residuals: rms ratio
# over 24 seeds of benchmarks.register_data (200 to 223). Positions and blurred fits need no factor.
_SCALE_ERROR_FACTOR = 1.5
# Logistic regression (ridge 1e-3) on 70 registrations of benchmarks.register_data, own overviews
# and foreign ones, noise of 0.2 to 3.5 times the contrast; right is what lies within a voxel.
_INTERCEPT, _SLOPE = -28.6, 26.5


@dataclass(frozen=True, eq=False)
class ZoomPlace:
    """Where a zoom lies in its overview: ``scale rotation x + translation_um``.

    Vectors are (z, y, x) in micrometres, as the coordinates of the two volumes.

    Attributes
    ----------
    place : Similarity
        The transform.
    found : bool
        Whether the confidence is high enough to use the place.
    confidence : float
        Probability that the place is right, from ``lead`` and ``share``: logistic regression on
        simulated hierarchies.
    ncc : float
        Normalised cross-correlation of zoom and overview at the finest level that both have.
    lead : float
        ``1 - second / first``: how far the next best place stays behind, in correlation at the
        level of the search.
    share : float
        Part of the zoom's parts that find themselves where the whole was put.
    parts : int
        How many parts there are.
    position_error_um, scale_error, rotation_error_deg
        Standard errors of the zoom's centre in the overview, (3,), of the scale, and of the
        rotation about the zoom's z, y and x, (3,).
    voxel_um : float
        Voxel of the overview at the level where the fit ended.
    """

    place: Similarity
    found: bool
    confidence: float
    ncc: float
    lead: float
    share: float
    parts: int
    position_error_um: Float
    scale_error: float
    rotation_error_deg: Float
    voxel_um: float

    def describe(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        place = self.place
        return {
            "result": "found" if self.found else "uncertain",
            "confidence": self.confidence,
            "axes": ["z", "y", "x"],
            "unit": "micrometer",
            "meaning": "overview = scale * rotation @ zoom + translation",
            "scale": place.scale,
            "rotation": place.rotation.tolist(),
            "translation": place.translation_um.tolist(),
            "rotation_about_z_deg": place.angle_deg,
            "tilt_deg": place.tilt_deg,
            "centre_in_zoom": place.centre.tolist(),
            "centre_in_overview": place.position.tolist(),
            "errors": {
                "centre": self.position_error_um.tolist(),
                "scale": self.scale_error,
                "rotation_deg": self.rotation_error_deg.tolist(),
            },
            "evidence": {
                "correlation": self.ncc,
                "lead_over_next_best": self.lead,
                "parts_that_agree": self.share,
                "parts": self.parts,
                "voxel": self.voxel_um,
            },
        }


def register_zoom(
    zoom: Volume | Path | str,
    overview: Volume | Path | str,
    *,
    start_um: ArrayLike | None = None,
    rotation_deg: float | None = None,
    scale: float = 1.0,
    memory_bytes: int = _MEMORY_BYTES,
    xp: ModuleType = np,
    observer: Observer | None = None,
) -> ZoomPlace:
    """Find where a zoom lies in its overview.

    Parameters
    ----------
    zoom, overview : Volume, or the path of an OME-Zarr volume
        Pyramids with voxel sizes. Grey values need not agree: gain and offset are free, but what is
        bright in one has to be bright in the other.
    start_um : (z, y, x), optional
        Where the zoom's centre lies in the overview, right to half of the zoom's size. Looked for
        everywhere by default.
    rotation_deg : float, optional
        Rotation about z, right to 15 degrees: it takes y, which points down, to x. All by default.
    scale : float
        True over nominal size of the zoom's voxels, right to about 2 %.
    memory_bytes : int
        For the search; blocks of the overview are searched where it does not fit at once.
    xp : module
        ``numpy``, or ``cupy`` to compute on the device.
    observer : Observer, optional
        Told of the progress.

    Returns
    -------
    ZoomPlace
        ``found`` false: the place is the best that there is, and may well be wrong.

    Raises
    ------
    InputError
        If a volume is none, has no voxel size, or the zoom is too small or too large for the
        overview, or the start lies outside of it.
    """
    observer = observer or Silent()
    start = _start(start_um, rotation_deg, scale)
    pair = _Pair(Levels(_opened(zoom), "zoom"), Levels(_opened(overview), "overview"), scale, xp)
    level = search_level(pair.zoom, pair.overview, scale)
    finest = finest_level(pair.zoom, pair.overview, scale)
    candidates = search(
        pair.zoom,
        pair.overview,
        level,
        start,
        count=_CANDIDATES,
        memory_bytes=memory_bytes,
        xp=xp,
        observer=observer,
    )
    if not candidates:
        raise InputError(
            f"The overview {pair.overview.volume.address} does not vary anywhere that the zoom "
            "could lie; check that it is the right volume."
        )
    return _judged(pair, candidates, level, finest, observer)


class _Pair(NamedTuple):
    zoom: Levels
    overview: Levels
    scale: float
    xp: ModuleType

    def fits(
        self, places: list[Similarity], level: int, *, blur_px: float = 0.0
    ) -> list[tuple[Fit, _Look]]:
        """Places fitted at a level of the overview."""
        at = self.overview.places[level]
        zoom_level = self.zoom.at_most(at.voxel_um / self.scale)
        target = at.step_um / self.scale
        field = ZoomField(self.zoom, zoom_level, target, self.xp, blur_px=blur_px)
        parts = zoom_parts(field)
        radius = float(np.max(self.zoom.extent_um)) / 2
        fitted = []
        for place in places:
            crops = overview_crops(self.overview, level, field, parts.boxes, place)
            fit = fit_similarity(parts.parts, crops, place, radius_um=radius)
            fitted.append((fit, _Look(field, parts.boxes, crops)))
        return fitted


class _Look(NamedTuple):
    """What the agreement of parts is judged by."""

    field: ZoomField
    boxes: list[Box]
    crops: list[Crop]


def _judged(
    pair: _Pair, candidates: list[Candidate], level: int, finest: int, observer: Observer
) -> ZoomPlace:
    """The best candidate, fitted down to the finest level, and what speaks for it."""
    observer.start("fitted", 1 + level - finest)
    fitted = pair.fits([candidate.place for candidate in candidates], level)
    fitted.sort(key=lambda entry: -entry[0].ncc)
    fit, look = fitted[0]
    others = [other.ncc for other, _ in fitted if _differ(fit.place, other.place, pair, level)]
    second = max([*others, 0.0])
    lead = 1 - second / fit.ncc if fit.ncc > 0 else 0.0
    observer.advance("fitted")
    for finer in range(level - 1, finest - 1, -1):
        ((fit, look),) = pair.fits([fit.place], finer)
        observer.advance("fitted")
    observer.finish("fitted")
    seen = agreement(look.field, look.boxes, look.crops, fit.place)
    ncc = fit.ncc
    # Slopes of noise look like knowledge: without a blur the errors would come out too small.
    if ncc < _CLEAR:
        ((fit, _),) = pair.fits([fit.place], finest, blur_px=_BLUR_PX)
        factor = 1.0
    else:
        factor = _SCALE_ERROR_FACTOR
    sensible = abs(np.log(fit.place.scale / pair.scale)) < _LARGEST_SCALE
    confidence = confidence_of(seen.share, lead) if sensible else 0.0
    # Whichever of the two says more; residuals of neighbours are alike, and parts are few.
    errors = np.sqrt(np.maximum(np.diag(fit.curvature), np.diag(fit.spread)))
    turned = fit.place.scale * fit.place.rotation
    moved = [turned @ matrix[4:, 4:] @ turned.T for matrix in (fit.curvature, fit.spread)]
    return ZoomPlace(
        place=fit.place,
        found=bool(confidence >= FOUND),
        confidence=confidence,
        ncc=ncc,
        lead=lead,
        share=seen.share,
        parts=len(seen.ncc),
        position_error_um=np.sqrt(np.maximum(np.diag(moved[0]), np.diag(moved[1]))),
        scale_error=float(factor * errors[3] * fit.place.scale),
        rotation_error_deg=np.degrees(errors[:3]),
        voxel_um=pair.overview.places[finest].voxel_um,
    )


def confidence_of(share: float, lead: float) -> float:
    """Probability that a place is right.

    Parameters
    ----------
    share : float
        Part of the parts that agree, 0 to 1.
    lead : float
        ``1 - second / first`` in correlation, 0 to 1.
    """
    return float(1 / (1 + np.exp(-(_INTERCEPT + _SLOPE * (share + max(lead, 0.0))))))


def _differ(one: Similarity, other: Similarity, pair: _Pair, level: int) -> bool:
    """Whether two places are two: some end of the zoom lies voxels apart."""
    half = pair.zoom.extent_um / 2
    ends = pair.zoom.centre_um + half * np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    apart = np.linalg.norm(one.apply(ends) - other.apply(ends), axis=1).max()
    return bool(apart > 3 * pair.overview.places[level].voxel_um)


def _opened(volume: Volume | Path | str) -> Volume:
    return volume if isinstance(volume, Volume) else open_volume(volume)


def _start(start_um: ArrayLike | None, rotation_deg: float | None, scale: float) -> Start:
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"The scale is {scale}; give a number above 0, near 1.")
    if rotation_deg is not None and not np.isfinite(rotation_deg):
        raise InputError(f"The rotation is {rotation_deg}; give a finite number of degrees.")
    position = None if start_um is None else np.asarray(start_um, np.float64)
    if position is not None and (position.shape != (3,) or not np.isfinite(position).all()):
        raise InputError(f"The start is {start_um!r}; give three finite numbers, z, y and x.")
    return Start(position, rotation_deg, float(scale))
