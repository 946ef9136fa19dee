"""Figures of the voxels and of slices of half of the views: rings, contrast, noise, detail."""

from __future__ import annotations

from collections.abc import Iterable

from hipct.quality.evidence import Evidence
from hipct.quality.judging import Judge, all_judged, judged
from hipct.quality.lights import Figure, number
from hipct.quality.voxels import LEFT_OUT
from hipct.volume.figures import Figures


def image_figures(known: Evidence) -> Iterable[Figure]:
    """All of them, in the order of a report."""
    return all_judged(_JUDGES, known)


def _rings(known: Evidence) -> Figure:
    look, key = known.voxels, "rings"
    if look is None or not look.ring_scores:
        return judged(key, None, known.voxels_why if look is None else look.reasons.get(key, ""))
    return judged(key, max(look.ring_scores), f"Slices {', '.join(map(str, look.heights))}.")


def _told(known: Evidence) -> Figures | None:
    return None if known.voxels is None else known.voxels.figures


def _untold(known: Evidence) -> str:
    """Why there are no figures of a slice."""
    return known.voxels_why if known.voxels is None else known.voxels.reasons.get("figures", "")


def _contrast(known: Evidence) -> Figure:
    key, look, told = "cnr", known.voxels, _told(known)
    if look is None or told is None:
        return judged(key, None, _untold(known))
    if not told.noise > 0:
        return judged(key, None, "The flattest parts have no noise to compare with.")
    unit = f" {look.unit}".rstrip()
    note = f"Contrast {number(told.contrast)}{unit}, noise {number(told.noise)}{unit}."
    if look.left_out > LITTLE:
        note += f" {100 * look.left_out:.3g} % {LEFT_OUT}"
    return judged(key, told.contrast_to_noise, note)


def _sharpness(known: Evidence) -> Figure:
    key, told = "sharpness", _told(known)
    if told is None:
        return judged(key, None, _untold(known))
    return judged(key, told.sharpness_px, "" if told.edges else FEW_EDGES)


def _halo(known: Evidence) -> Figure:
    key, look, told = "halo", known.voxels, _told(known)
    if look is None or told is None:
        return judged(key, None, _untold(known))
    if told.edges and told.halo is None:
        return judged(
            key, None, look.reasons.get("kernel", "There was no phase retrieval to judge.")
        )
    if told.halo is None or told.edges < LEAST_EDGES:
        return judged(key, None, f"{FEW_EDGES} {told.edges} of {LEAST_EDGES} that are needed.")
    return judged(key, abs(told.halo), f"{told.halo:+.3f} at {told.edges} edges.")


def _snr(known: Evidence) -> Figure:
    look, key = known.frames, "snr"
    if look is None or look.snr is None:
        why = known.frames_why if look is None else look.reasons.get("resolution", "")
        return judged(key, None, why)
    return judged(key, look.snr)


def _resolution(known: Evidence) -> Figure:
    look, key = known.frames, "resolution"
    if look is None or look.resolution is None:
        why = known.frames_why if look is None else look.reasons.get("resolution", "")
        return judged(key, None, why)
    found = look.resolution.pixels
    if found is None:
        # Nothing is resolved: as red as can be.
        return judged(key, float("inf"), "The halves have nothing in common but noise.")
    voxel = known.source.positive("pixel_size_um")
    note = "" if voxel is None else f"{number(found * voxel)} um. "
    note += "All that the voxels can hold is resolved." if look.resolution.at_the_limit else ""
    return judged(key, found, note.strip())


LITTLE = 0.001
FEW_EDGES = "Too few edges stand out of the noise."
LEAST_EDGES = 12
"""Edges below which the height of their rim is that of the noise."""

_JUDGES: dict[str, Judge] = {
    "rings": _rings,
    "cnr": _contrast,
    "sharpness": _sharpness,
    "halo": _halo,
    "snr": _snr,
    "resolution": _resolution,
}
