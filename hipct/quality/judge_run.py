"""Figures from what a run has noted: geometry, sampling, repairs, clipping, motion."""

from __future__ import annotations

import math

from hipct.quality.evidence import Evidence, judged, mapping
from hipct.quality.lights import Figure

REPAIRED = ("dead", "nan", "nonpositive", "empty_row", "zinger", "clamped")


def run_figures(known: Evidence) -> list[Figure]:
    """All of them, in the order of a report."""
    return [
        _axis(known),
        _axis_error(known),
        _axis_drift(known),
        _seam(known),
        _sampling(known),
        _missing(known),
        _repaired(known),
        _clipped(known),
        *_motion(known),
    ]


def _axis(known: Evidence) -> Figure:
    definition = (
        "Confidence of the rotation axis as the run has found it, from 0 to 1: how far the mirror "
        "image of opposite views stands above chance and above the next best place, times how well "
        "the place is known; of a series that of the first sub-scan."
    )
    if not known.reconstructed:
        return judged("axis_confidence", "Rotation axis", definition, None, note=known.why_no_run)
    found = known.provenance["estimates"]
    note = f"Column {found['axis_px']:.2f}, method {found['axis_method']}."
    if found["axis_method"] == "given":
        note += " It was given, so that nothing is known of it."
        return judged("axis_confidence", "Rotation axis", definition, None, note=note)
    value = float(found["axis_confidence"])
    return judged("axis_confidence", "Rotation axis", definition, value, note=note)


def _axis_error(known: Evidence) -> Figure:
    key, title = "axis_error", "Axis looked for again"
    definition = (
        "Distance between the axis that was used and the one that is found again, without knowing "
        "it, from a few rows in the middle; less twice the standard error of the latter."
    )
    frames = known.frames
    if frames is None:
        return judged(key, title, definition, None, unit="px", note=known.frames_why)
    again, error = frames.axis_again_px, frames.axis_again_error_px
    if again is None or error is None:
        return judged(key, title, definition, None, unit="px", note=frames.reasons.get("axis", ""))
    note = f"Used {frames.axis_px:.2f}, found again {again:.2f} (+-{error:.2f}), rows of "
    note += f"{frames.name or 'the scan'} about {frames.row}."
    value = max(0.0, abs(again - frames.axis_px) - 2 * error)
    return judged(key, title, definition, value, unit="px", note=note)


def _axis_drift(known: Evidence) -> Figure:
    key, title = "axis_drift", "Axes of the sub-scans"
    definition = (
        "Largest distance between the axis measured of a sub-scan and the smooth path along the "
        "series that was used for it. The drift along the series itself is corrected."
    )
    if not known.sub_scans:
        note = known.why_no_run or "There is one scan."
        return judged(key, title, definition, None, unit="px", note=note)
    axes = [each["axis_px"] for each in known.sub_scans]
    off = [
        abs(each["axis_measured_px"] - each["axis_px"])
        for each in known.sub_scans
        if each["axis_measured_px"] is not None
    ]
    note = f"Columns {min(axes):.2f} to {max(axes):.2f}: a drift of {max(axes) - min(axes):.2f} px."
    return judged(key, title, definition, max(off, default=None), unit="px", note=note)


def _seam(known: Evidence) -> Figure:
    key, title = "seam", "Seams"
    definition = (
        "Worst seam score: rms change of the slices over the rows where one sub-scan goes over "
        "into the next, over that of the rows beside them. 1 is no seam."
    )
    if not known.sub_scans:
        note = known.why_no_run or "There is one scan, without seams."
        return judged(key, title, definition, None, note=note)
    seams = mapping(known.provenance.get("series")).get("seams", [])
    scored = [seam for seam in seams if seam["score"] is not None]
    if not scored:
        return judged(key, title, definition, None, note="No seam could be scored.")
    last = max(scored, key=lambda seam: float(seam["score"]))
    note = f"Between {' and '.join(last['between'])}, slices {last['rows'][0]} to {last['rows'][1]}"
    return judged(key, title, definition, float(last["score"]), note=f"{note}; {len(seams)} seams.")


def _sampling(known: Evidence) -> Figure:
    key, title = "sampling", "Angular sampling"
    definition = (
        "Directions within half a turn over pi/2 N, N the diameter of the slices in voxels. At 1 "
        "neighbouring views are a voxel apart at the rim; below, so much of the radius is sampled "
        "in full. Two views of a half-acquisition make one direction."
    )
    projections = known.source.get("projections")
    if not known.reconstructed or not projections:
        return judged(key, title, definition, None, note=known.why_no_run)
    half, note = known.source.get("acquisition") == "half", ""
    if known.frames is not None:
        directions = known.frames.directions
    else:
        directions = projections / 2 if half else float(projections)
        note = "" if half else " The scan is taken to cover half a turn."
    radius = known.radius_px
    diameter = float(known.shape[2]) if radius is None else 2 * radius
    wanted = math.pi / 2 * diameter
    value = directions / wanted
    note = (
        f"{directions:.0f} directions for {wanted:.0f}: in full up to "
        f"{min(1.0, value) * diameter / 2:.0f} of {diameter / 2:.0f} voxels from the axis.{note}"
    )
    return judged(key, title, definition, value, note=note)


def _missing(known: Evidence) -> Figure:
    key, title = "missing", "Missing slices"
    definition = "Slices without data: that no sub-scan has seen, or that could not be made."
    if not known.reconstructed:
        return judged(key, title, definition, None, unit="%", note=known.why_no_run)
    gaps = mapping(known.provenance.get("series")).get("rows_without_data", [])
    lost = mapping(known.provenance.get("incomplete"))
    rows = sum(stop - first for first, stop in [*gaps, *lost.get("rows", [])])
    note = f"{rows} of {known.shape[0]}."
    if lost:
        note += f" {' '.join(lost['reasons'])}"
    return judged(key, title, definition, 100 * rows / known.shape[0], unit="%", note=note)


def _repaired(known: Evidence) -> Figure:
    key, title = "repaired", "Repaired pixels"
    definition = (
        "Values of the projections that were replaced before back-projection: dead pixels, "
        "zingers, counts at or below the dark level, rows without any pixel, what was raised "
        "before the logarithm."
    )
    pixels = mapping(mapping(known.provenance.get("counts")).get("pixels"))
    if not pixels.get("values"):
        note = known.why_no_run or "The run has counted no pixels."
        return judged(key, title, definition, None, unit="%", note=note)
    parts = {name: pixels.get(name, 0) for name in REPAIRED}
    told = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in parts.items() if n)
    note = f"{told or 'none'}, of {pixels['values']}."
    if pixels.get("current_repaired"):
        note += f" Readings of the machine current interpolated: {pixels['current_repaired']}."
    value = 100 * sum(parts.values()) / pixels["values"]
    return judged(key, title, definition, value, unit="%", note=note)


def _clipped(known: Evidence) -> Figure:
    key, title = "clipped", "Clipped voxels"
    definition = (
        "Voxels inside of the measured circle below or above the 16-bit window, which are stored "
        "as its ends. The default window leaves 0.1 % on either side on purpose."
    )
    voxels = mapping(mapping(known.provenance.get("counts")).get("voxels"))
    inside = voxels.get("voxels", 0) - voxels.get("nan", 0)
    if inside <= 0:
        note = known.why_no_run or "The run has counted no voxels."
        return judged(key, title, definition, None, unit="%", note=note)
    below, above = (100 * voxels[name] / inside for name in ("below", "above"))
    note = f"{below:.3g} % below, {above:.3g} % above."
    return judged(key, title, definition, below + above, unit="%", note=note)


def _motion(known: Evidence) -> list[Figure]:
    """Sudden motion, and bubbles."""
    key, title, unit = "motion", "Sudden motion", "px"
    definition = (
        "Largest sudden motion of the sample during a scan that was found and is left in; 0: none."
    )
    also = "Bubbles that have come or gone during a scan."
    found = mapping(known.provenance.get("motion"))
    if not found or not known.setting("motion", "flag"):
        note = known.why_no_run or (
            "It was not looked for; set motion.flag=true, which reads some rows of every "
            "projection once more."
        )
        return [
            judged(key, title, definition, None, unit=unit, note=note),
            judged("bubbles", "Bubbles", also, None, note=note),
        ]
    flags = [flag for each in found.values() for flag in each["flags"]]
    sudden = [flag["size_px"] for flag in flags if flag["kind"] == "sudden motion"]
    bubbles = sum(flag["kind"] == "bubble" for flag in flags)
    notes = [note for each in found.values() for note in each["notes"]]
    of_bubbles = [note for note in notes if note.startswith("A bubble")]
    said = " ".join(note for note in notes if note not in of_bubbles)
    return [
        judged(key, title, definition, float(max(sudden, default=0)), unit=unit, note=said),
        judged("bubbles", "Bubbles", also, float(bubbles), note=" ".join(of_bubbles)),
    ]
