"""Sudden motion and bubbles of a scan: found before it is streamed, told, and not taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import ScanInfo
from hipct.core.device import Device
from hipct.core.progress import Observer
from hipct.pipeline.motion_frames import Views, ViewsOfRows
from hipct.preparation.motion import common_strip
from hipct.preparation.motion_changes import Change, bubbles, find_changes
from hipct.preparation.motion_pairs import Pair
from hipct.preparation.motion_steps import find_jumps, link_shifts, link_sums, step_size
from hipct.preparation.registration import Shift

Kind = Literal["sudden motion", "bubble"]

BAND_ROWS, PIXELS = 16, 131_072
"""Pixels of every projection that are looked at for sudden motion, in bands of so many rows."""

_BLOCK = 32
_LEAST_CONFIDENCE = 0.5
_STAGE = "motion"


@dataclass(frozen=True)
class Flag:
    """Something that happened during a scan.

    Attributes
    ----------
    kind : "sudden motion" or "bubble"
    projections : (int, int)
        The last before it and the first after it; of a bubble, of those that tell.
    times : (float, float)
        Their times; 0 is the first and 1 the last projection.
    size_px : float
        Distance of a motion as it is seen, diameter of a bubble.
    confidence : float
        Probability that it is none of noise.
    row : float or None
        Detector row of a bubble.
    """

    kind: Kind
    projections: tuple[int, int]
    times: tuple[float, float]
    size_px: float
    confidence: float
    row: float | None = None

    def sentence(self, name: str) -> str:
        """What a person should read."""
        first, last = self.projections
        between = f"between projections {first} and {last} of {name}"
        if self.kind == "bubble":
            return (
                f"A bubble of {self.size_px:.0f} px at detector row {self.row:.0f} has come or "
                f"gone {between} (confidence {self.confidence:.2f})."
            )
        return (
            f"The sample has moved suddenly by {self.size_px:.1f} px {between} "
            f"(confidence {self.confidence:.2f})."
        )


def find_sudden_motion(
    views_of: ViewsOfRows,
    info: ScanInfo,
    times: NDArray[np.float64],
    rows: range,
    band: range,
    *,
    row_chunk: int,
    observer: Observer,
    device: Device,
) -> list[Flag]:
    """Sudden motion, from a few rows of every projection.

    Parameters
    ----------
    views_of : callable
        Gives :class:`Views` of some rows.
    info : ScanInfo
    times : ndarray, shape (projections,)
    rows : range
        Detector rows that are reconstructed.
    band : range
        Those in which sizes are measured.
    row_chunk : int
        Rows that are read together.
    observer : Observer
        Told of the progress.
    device : Device
        Where it is computed.
    """
    count = info.projections
    if count < 8 or len(rows) < BAND_ROWS // 2 or info.columns < BAND_ROWS:
        return []
    chosen = sparse_bands(rows, info.columns, row_chunk)
    sums = device.xp.zeros((count - 1, 5), np.float64)
    observer.start(_STAGE, len(chosen) * math.ceil((count - 1) / _BLOCK))
    for part in chosen:
        views = views_of(part)
        for first in range(0, count - 1, _BLOCK):
            block = slice(first, min(first + _BLOCK + 1, count))
            sums[first : block.stop - 1] += link_sums(views.block(block))
            observer.advance(_STAGE)
    observer.finish(_STAGE)
    shifts = link_shifts(device.download(sums))
    step = np.abs(np.diff(np.unwrap(info.angles_rad)))
    # Where angles are left out the sample has turned further.
    shifts[step > 1.5 * np.median(step)] = np.median(shifts, axis=0)
    flags = []
    views = views_of(band)
    for jump in find_jumps(shifts):
        wide = jump.last - jump.first
        places = jump.first - wide, jump.first, jump.last, jump.last + wide
        four = [views.between(min(max(k, 0), count - 1), 0.0) for k in places]
        down, right, confidence = step_size(device.xp.stack(four))
        if confidence >= _LEAST_CONFIDENCE:
            between = jump.first, jump.last
            when = float(times[jump.first]), float(times[jump.last])
            flags.append(Flag("sudden motion", between, when, math.hypot(down, right), confidence))
    return sorted(flags, key=lambda flag: flag.projections)


def find_bubbles(
    views_of: ViewsOfRows,
    times: NDArray[np.float64],
    pairs: Sequence[Pair],
    shifts: Sequence[Shift],
    bands: Sequence[range],
    *,
    axis: float,
    columns: int,
) -> list[Flag]:
    """Bubbles, from all rows of views that should show the same.

    Parameters
    ----------
    views_of : callable
        Gives :class:`Views` of some rows.
    times : ndarray, shape (projections,)
    pairs, shifts : sequences of Pair and Shift
        Views from the same side if there are any, else opposite ones.
    bands : sequence of range
        Detector rows, as many at a time as the memory holds.
    axis : float
        Rotation axis in detector columns.
    columns : int
        Of the detector.
    """
    direct = any(not pair.mirrored for pair in pairs)
    changes: list[Change] = []
    for band in bands:
        views: Views = views_of(band)
        for pair, shift in zip(pairs, shifts):
            strip = common_strip(axis, columns, pair.mirrored)
            if (direct and pair.mirrored) or shift.confidence < _LEAST_CONFIDENCE:
                continue
            one, other = strip.cut(
                views.between(pair.first, pair.share), views.between(pair.second, 0.0)
            )
            whole = replace(shift, columns=shift.columns + strip.offset_px)
            changes += [
                replace(change, row=band.start + change.row, column=strip.first + change.column)
                for change in find_changes(one, other, whole, pair)
            ]
    flags = []
    for change in bubbles(changes, axis):
        if change.confidence >= _LEAST_CONFIDENCE:
            since, until = change.times
            first = int(np.searchsorted(times, since, side="right")) - 1
            last = int(np.searchsorted(times, min(until, times.max())))
            flags.append(
                Flag(
                    "bubble",
                    (max(first, 0), last),
                    change.times,
                    change.diameter_px,
                    change.confidence,
                    change.row,
                )
            )
    return flags


def sparse_bands(rows: range, columns: int, row_chunk: int) -> list[range]:
    """A few rows in some places, along the chunks that they are read in; all of small frames.

    Examples
    --------
    >>> sparse_bands(range(0, 400), 2048, 16)
    [range(48, 64), range(144, 160), range(240, 256), range(336, 352)]
    >>> sparse_bands(range(10, 90), 800, 16)
    [range(10, 90)]
    """
    count = math.ceil(PIXELS / (BAND_ROWS * columns))
    if len(rows) < 2 * count * BAND_ROWS:
        return [rows]
    found = []
    for k in range(count):
        middle = rows.start + int((k + 0.5) * len(rows) / count)
        first = middle // row_chunk * row_chunk if row_chunk <= BAND_ROWS else middle
        first = min(max(first, rows.start), rows.stop - BAND_ROWS)
        found.append(range(first, first + BAND_ROWS))
    return found
