"""Figures of the voxels and of slices of half of the views: rings, contrast, noise, detail."""

from __future__ import annotations

from hipct.quality.evidence import Evidence, judged
from hipct.quality.lights import Figure, number


def image_figures(known: Evidence) -> list[Figure]:
    """All of them, in the order of a report."""
    return [_rings(known), *_contrast(known), _snr(known), _resolution(known)]


def _rings(known: Evidence) -> Figure:
    definition = (
        "Worst ring score of whole slices: rms of what 15-degree parts of a circle about the axis "
        "have in common that are not neighbours, over the noise of single voxels. Flats of few "
        "photons leave rings too: their noise is the same in all views."
    )
    look = known.voxels
    if look is None or not look.ring_scores:
        note = known.voxels_why if look is None else look.reasons.get("rings", "")
        return judged("rings", "Rings", definition, None, note=note)
    note = f"Slices {', '.join(map(str, look.heights))}."
    return judged("rings", "Rings", definition, max(look.ring_scores), note=note)


def _contrast(known: Evidence) -> list[Figure]:
    """Contrast to noise, sharpness, halo."""
    contrast = (
        "Distance between the two classes of voxels (Otsu's threshold on means over 4 x 4 voxels) "
        "over the standard deviation of flat squares of 16 voxels."
    )
    sharpness = "Full width at half maximum of the blur of the mean edge, in voxels."
    halo = (
        "Height of the rim beside the mean edge over its step, either sign: above 0 fringes are "
        "left (delta/beta too small), below 0 edges die out slowly (too large)."
    )
    look = known.voxels
    told = None if look is None else look.figures
    if look is None or told is None:
        note = known.voxels_why if look is None else look.reasons.get("figures", "")
        return [
            judged("cnr", "Contrast to noise", contrast, None, note=note),
            judged("sharpness", "Width of edges", sharpness, None, unit="voxels", note=note),
            judged("halo", "Halo of edges", halo, None, note=note),
        ]
    unit = f" {look.unit}".rstrip()
    note, ratio = f"Contrast {number(told.contrast)}{unit}, noise {number(told.noise)}{unit}.", None
    if told.noise > 0:
        ratio = told.contrast_to_noise
    else:
        # Of a masked or clipped background, which says nothing of the noise of the sample.
        note = "The flattest parts hold a single value, without any noise to compare with."
    few = "" if told.edges else "Too few edges stand out of the noise."
    without = few or ("" if told.halo is not None else "There was no phase retrieval to judge.")
    rim = "" if told.halo is None else f"{told.halo:+.3f} at {told.edges} edges."
    return [
        judged("cnr", "Contrast to noise", contrast, ratio, note=note),
        judged(
            "sharpness", "Width of edges", sharpness, told.sharpness_px, unit="voxels", note=few
        ),
        judged(
            "halo",
            "Halo of edges",
            halo,
            None if told.halo is None else abs(told.halo),
            note=rim or without,
        ),
    ]


def _snr(known: Evidence) -> Figure:
    definition = (
        "Standard deviation of the sample over that of the noise, from slices of even and of odd "
        "views: root of their covariance over a quarter of the variance of their difference."
    )
    look = known.frames
    if look is None or look.snr is None:
        note = known.frames_why if look is None else look.reasons.get("resolution", "")
        return judged("snr", "Signal to noise", definition, None, note=note)
    return judged("snr", "Signal to noise", definition, look.snr)


def _resolution(known: Evidence) -> Figure:
    key, title, unit = "resolution", "Resolution", "voxels"
    definition = (
        "Period at which the Fourier ring correlation of slices of even and of odd views falls "
        "below the half-bit curve; 2 voxels is all that there can be. What is fixed to the "
        "detector, as rings are, counts as sample."
    )
    look = known.frames
    if look is None or look.resolution is None:
        note = known.frames_why if look is None else look.reasons.get("resolution", "")
        return judged(key, title, definition, None, unit=unit, note=note)
    found = look.resolution.pixels
    if found is None:
        # Nothing is resolved: as red as can be.
        note = "The halves have nothing in common but noise."
        return judged(key, title, definition, float("inf"), unit=unit, note=note)
    voxel = known.source.get("pixel_size_um")
    note = "" if voxel is None else f"{number(found * voxel)} um. "
    note += "All that the voxels can hold is resolved." if look.resolution.at_the_limit else ""
    return judged(key, title, definition, found, unit=unit, note=note.strip())
