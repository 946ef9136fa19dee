"""Reference scan: a jar that is wider than the beam, off the axis, in a beam that moves.

Flats of the open beam know nothing of the jar and the medium. A scan of the jar with the medium
alone, turned in the same way, has a flat for every angle.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np

import hipct
from hipct.preparation.reference_scan import ReferenceFlats, SmoothReference
from hipct.preparation.reference_windows import ReferenceWindows, match_angles
from hipct.simulation import Organ, Truth
from hipct.simulation.anatomy import TISSUE, build_jar, build_organ
from hipct.simulation.detector import Detector
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

ROWS, COLUMNS, AXIS, PIXEL_UM, CONTRAST = 16, 160, 138.3, 5.0, 40
SAMPLE_VIEWS, REFERENCE_VIEWS, REFERENCE_TURN_RAD = 480, 720, 0.02
MU = CONTRAST * TISSUE
ROW = ROWS // 2
WINDOWS = ReferenceWindows(wide=72, narrow=24, sigma_px=4)

# %% [markdown]
# ## Two scans
# Counts of a detector with pattern and dust; the beam moves by 4 % of its height during a scan.
# The jar, 1.4 times as wide as the field, turns 40 px beside the axis. There is no noise: what is
# seen is the beam, the jar and the dust.


# %%
def scan(organ: Organ, angles: np.ndarray, run: int) -> tuple[np.ndarray, Truth]:
    """Counts (angles, rows, columns) of a scan, and its truth."""
    setup = Setup(
        acquisition="half", rows=ROWS, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=8,
    )  # fmt: skip
    truth = Truth(organ, setup)
    detector = Detector(
        rows=ROWS, columns=COLUMNS, photons=None, drift=0.04, rings=0.0, run=run, seed=8
    )
    counts = [
        detector.expose(t, time=k / angles.size, current_ma=200.0, number=k)
        for k, t in enumerate(np.exp(-truth.attenuation(angles)))
    ]
    return np.stack(counts), truth


# %% [markdown]
# ## Flats by angle
# The fine part (dust, scintillator) is the mean over a wide window of angles, the smooth part
# (beam, shadow of the jar) over a narrow one. The windows are those of overviews off the axis of
# the jar, 600 and 200 of 6000 frames a turn: its shadow moves fast.


# %%
def matched(
    counts: np.ndarray, angles: np.ndarray, reference: np.ndarray, reference_angles: np.ndarray
) -> np.ndarray:
    """Transmission by the flats of the reference scan at the angles of the projections."""
    match = match_angles(angles, reference_angles)
    smooth = SmoothReference(*reference.shape, WINDOWS, closed=match.closed)
    smooth.feed(reference, 0)
    flats = ReferenceFlats(smooth)
    blocks = []
    for first in range(0, len(counts), 60):
        places = match.positions[first : first + 60]
        for missing in flats.missing(places):
            flats.feed(reference[missing.start : missing.stop], missing.start)
        field = flats.flat_field(places)
        blocks.append(field.apply(counts[first : first + 60], projection_index=places))
    return np.concatenate(blocks)


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    organ = build_organ(0.9 * AXIS * PIXEL_UM, seed=8).scaled(CONTRAST)
    jar = build_jar(1.4 * AXIS * PIXEL_UM).scaled(CONTRAST).moved(40 * PIXEL_UM, 0, 0)
    angles = np.arange(SAMPLE_VIEWS) * 2 * np.pi / SAMPLE_VIEWS
    reference_angles = np.arange(REFERENCE_VIEWS) * 2 * np.pi / REFERENCE_VIEWS + REFERENCE_TURN_RAD
    counts, _ = scan(organ.together_with(jar), angles, 1)
    reference, _ = scan(jar, reference_angles, 2)
    _, truth = scan(organ, angles[:1], 1)
    open_beam = np.stack(
        [
            Detector(rows=ROWS, columns=COLUMNS, photons=None, drift=0.04, seed=8).expose(
                None, time=0.0, current_ma=200.0, number=k
            )
            for k in range(20)
        ]
    )
    darks = np.full((1, ROWS, COLUMNS), 100, np.uint16)
    ways = (
        np.exp(-truth.attenuation(angles)),
        hipct.flat_field(counts, open_beam, darks),
        hipct.flat_field(counts, reference, darks, reduction="mean"),
        matched(counts, angles, reference, reference_angles),
    )
    images = [
        hipct.fbp(
            hipct.line_integral(t[:, ROW : ROW + 1]).swapaxes(0, 1), angles, AXIS,
            acquisition="half", pixel_size_um=PIXEL_UM,
        )[0]
        for t in ways
    ]  # fmt: skip
    known, size = images.pop(0), len(images[0])
    inner = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) < 0.95 * AXIS

    def percent(image: np.ndarray) -> float:
        return 100 / MU * float(np.sqrt(np.mean((image - known)[inner] ** 2)))

    captions = [
        "open beam (grey / 5)",
        "one flat of the reference",
        "flats by angle",
        "no jar, exact flats",
    ]
    sheet = panels(
        [grey(each, 0, 1.5 * MU) for each in (images[0] / 5, *images[1:], known)],
        captions,
        columns=4,
    )
    write_png(Path(out) / "reference_scan.png", sheet)
    return {
        "rms error, flats of the open beam, % of mu": percent(images[0]),
        "rms error, one flat of the reference, % of mu": percent(images[1]),
        "rms error, flats by angle, % of mu": percent(images[2]),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
