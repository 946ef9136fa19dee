"""Figures from what a run has noted: geometry, sampling, repairs, clipping, motion."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from hipct.quality.evidence import Evidence
from hipct.quality.judging import Judge, all_judged, judged
from hipct.quality.lights import Figure
from hipct.quality.noted import Noted
from hipct.quality.seams import perfect_score

REPAIRED = ("dead", "nan", "nonpositive", "empty_row", "zinger", "clamped")
SURE = 0.5
"""Confidence from which an axis that was measured is taken for it."""

NOT_NOISE = 1.05
NOT_LOOKED_FOR = (
    "It was not looked for; set motion.flag=true, which reads some rows of every projection once "
    "more."
)


def run_figures(known: Evidence) -> Iterable[Figure]:
    """All of them, in the order of a report."""
    return all_judged(_JUDGES, known)


def _axis(known: Evidence) -> Figure:
    key = "axis_confidence"
    if not known.reconstructed:
        return judged(key, None, known.why_no_run)
    found = known.noted.table("estimates")
    method = found.text("axis_method")
    note = f"Column {found.number('axis_px'):.2f}, method {method or 'not noted'}."
    if method == "given":
        return judged(key, None, f"{note} It was given, so that nothing is known of it.")
    own = found.number("axis_confidence", 0, 1)
    each = [one.number("axis_confidence", 0, 1) for one in known.sub_scans]
    sure = [value for value in each if value is not None]
    if not sure:
        return judged(key, own, note)
    if known.noted.table("config").table("stitching").truth("refine"):
        return judged(
            key, max(sure), f"{note} Neighbours carry it on from the surest of {len(sure)}."
        )
    return judged(key, min(sure), f"{note} The least sure of {len(sure)}.")


def _axis_error(known: Evidence) -> Figure:
    key, frames = "axis_error", known.frames
    if frames is None:
        return judged(key, None, known.frames_why)
    again, error = frames.axis_again_px, frames.axis_again_error_px
    if again is None or error is None:
        return judged(key, None, frames.reasons.get("axis", ""))
    note = f"Used {frames.axis_px:.2f}, found again {again:.2f} (+-{error:.2f}), rows of "
    note += f"{frames.name or 'the scan'} about {frames.row}."
    return judged(key, max(0.0, abs(again - frames.axis_px) - 2 * error), note)


def _axis_drift(known: Evidence) -> Figure:
    key = "axis_drift"
    if not known.sub_scans:
        return judged(key, None, known.why_no_run or "There is one scan.")
    used, off = [], []
    for each in known.sub_scans:
        axis, measured = each.number("axis_px"), each.number("axis_measured_px")
        if axis is None:
            continue
        used.append(axis)
        sure = each.number("axis_confidence", 0, 1)
        if measured is not None and (sure is None or sure >= SURE):
            error = each.number("axis_measured_error_px", 0) or 0.0
            off.append(max(0.0, abs(measured - axis) - 2 * error))
    if not used:
        return judged(key, None, "The volume does not note the axes of its sub-scans.")
    jumps = [
        abs(axis - float(np.median(used[max(0, place - 2) : place + 3])))
        for place, axis in enumerate(used)
    ]
    note = f"Columns {min(used):.2f} to {max(used):.2f}: a drift of {max(used) - min(used):.2f} px."
    note += f" {len(off)} of {len(used)} were measured for sure."
    return judged(key, max([*off, *jumps]), note)


def _placing(known: Evidence) -> Figure:
    key = "placing"
    if not known.sub_scans:
        return judged(key, None, known.why_no_run or "There is one scan.")
    errors = [
        (error, each.text("name"))
        for each in known.sub_scans
        for error in (
            each.number("offset_error_px", 0),
            *each.numbers("centre_error_px", 2),
        )
        if error is not None
    ]
    if not errors:
        return judged(key, None, "The volume does not note how well the places are known.")
    error, name = max(errors)
    return judged(key, error, f"That of {name}, of {len(known.sub_scans)} sub-scans.")


def _seam(known: Evidence) -> Figure:
    key = "seam"
    if not known.sub_scans:
        return judged(key, None, known.why_no_run or "There is one scan, without seams.")
    seams = known.noted.table("series").rows("seams")
    scored = []
    for seam in seams:
        score, rows = seam.number("score", 0), seam.numbers("rows", 2)
        if score is None:
            continue
        steps = max(1, int(rows[1] - rows[0]) + 1) if rows else 1
        noise = perfect_score(steps, known.kernel_px)
        scored.append((score / noise, score, noise, steps, seam))
    if not scored:
        return judged(key, None, "No seam could be scored.")
    value, score, noise, steps, worst = max(scored, key=lambda each: each[0])
    names, rows = worst.texts("between"), worst.numbers("rows", 2)
    note = f"Between {' and '.join(names)}, slices {' to '.join(f'{row:.0f}' for row in rows)}"
    note += f", a score of {score:.3g}; {len(seams)} seams."
    if noise > NOT_NOISE:
        note += (
            f" Blended over {steps} rows, a perfect one would score up to {noise:.3g} by its noise."
        )
    return judged(key, value, note)


def _sampling(known: Evidence) -> Figure:
    key = "sampling"
    projections = known.source.positive("projections")
    if not known.reconstructed or projections is None:
        return judged(key, None, known.why_no_run or "The number of projections is not noted.")
    half, note = known.source.text("acquisition") == "half", ""
    if known.frames is not None:
        directions = known.frames.directions
    else:
        directions = projections / 2 if half else projections
        note = "" if half else " The scan is taken to cover half a turn."
    radius = known.radius_px
    diameter = float(known.shape[2]) if radius is None else 2 * radius
    wanted = math.pi / 2 * diameter
    value = directions / wanted
    note = (
        f"{directions:.0f} directions for {wanted:.0f}: in full up to "
        f"{min(1.0, value) * diameter / 2:.0f} of {diameter / 2:.0f} voxels from the axis; at the "
        f"rim periods of {max(2.0, 2 / value):.1f} voxels and more.{note}"
    )
    return judged(key, value, note)


def _missing(known: Evidence) -> Figure:
    key = "missing"
    if not known.reconstructed:
        return judged(key, None, known.why_no_run)
    lost = known.noted.table("incomplete")
    gaps = [*known.noted.table("series").pairs("rows_without_data"), *lost.pairs("rows")]
    rows = sum(stop - first for first, stop in gaps)
    note = " ".join([f"{rows:.0f} of {known.shape[0]}.", *lost.texts("reasons")])
    return judged(key, 100 * rows / known.shape[0], note)


def _repaired(known: Evidence) -> Figure:
    key = "repaired"
    pixels = known.noted.table("counts").table("pixels")
    values = pixels.count("values")
    if not values:
        return judged(key, None, known.why_no_run or "The run has counted no pixels.")
    parts = {name: pixels.count(name) for name in REPAIRED}
    told = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in parts.items() if n)
    note = f"{told or 'none'}, of {values}."
    if pixels.count("current_repaired"):
        note += (
            f" Readings of the machine current interpolated: {pixels.count('current_repaired')}."
        )
    return judged(key, 100 * sum(parts.values()) / values, note)


def _clipped(known: Evidence) -> Figure:
    key = "clipped"
    voxels = known.noted.table("counts").table("voxels")
    inside = voxels.count("voxels") - voxels.count("nan")
    if inside <= 0 or not (voxels.has("below") and voxels.has("above")):
        return judged(key, None, known.why_no_run or "The run has counted no voxels.")
    below, above = (100 * voxels.count(name) / inside for name in ("below", "above"))
    return judged(key, below + above, f"{below:.3g} % below, {above:.3g} % above.")


def _looked_at(known: Evidence) -> list[Noted]:
    """What is noted of the motion of each scan, where it was looked for flags."""
    found = known.noted.table("motion")
    wanted = known.noted.table("config").table("motion").truth("flag")
    return [each for _, each in found.items()] if wanted else []


def _motion(known: Evidence) -> Figure:
    looked = _looked_at(known)
    if not looked:
        return judged("motion", None, known.why_no_run or NOT_LOOKED_FOR)
    sizes = [
        flag.number("size_px", 0) or 0.0
        for each in looked
        for flag in each.rows("flags")
        if flag.text("kind") == "sudden motion"
    ]
    notes = [note for each in looked for note in each.texts("notes")]
    said = " ".join(note for note in notes if not note.startswith("A bubble"))
    return judged("motion", max(sizes, default=0.0), said)


def _bubbles(known: Evidence) -> Figure:
    looked = _looked_at(known)
    if not looked:
        return judged("bubbles", None, known.why_no_run or NOT_LOOKED_FOR)
    count = sum(flag.text("kind") == "bubble" for each in looked for flag in each.rows("flags"))
    notes = [note for each in looked for note in each.texts("notes")]
    said = " ".join(note for note in notes if note.startswith("A bubble"))
    return judged("bubbles", float(count), said)


_JUDGES: dict[str, Judge] = {
    "axis_confidence": _axis,
    "axis_error": _axis_error,
    "axis_drift": _axis_drift,
    "placing": _placing,
    "seam": _seam,
    "sampling": _sampling,
    "missing": _missing,
    "repaired": _repaired,
    "clipped": _clipped,
    "motion": _motion,
    "bubbles": _bubbles,
}
