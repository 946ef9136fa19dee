"""What each figure of a report is."""

from __future__ import annotations

from typing import NamedTuple


class Definition(NamedTuple):
    """Title, unit and meaning of a figure, for people."""

    title: str
    unit: str
    text: str


DEFINITIONS = {
    "axis_confidence": Definition(
        "Rotation axis",
        "",
        "Confidence of the rotation axis as the run has found it, from 0 to 1: how far the mirror "
        "image of opposite views stands above chance and above the next best place, times how well "
        "the place is known; of a series whose sub-scans are fitted to each other that of the "
        "surest, of another one that of the least sure.",
    ),
    "axis_error": Definition(
        "Axis looked for again",
        "px",
        "Distance between the axis that was used and the one that is found again, without knowing "
        "it, from a few rows in the middle; less twice the standard error of the latter.",
    ),
    "axis_drift": Definition(
        "Axes of the sub-scans",
        "px",
        "Largest distance of the axis that was used for a sub-scan from the one measured of it "
        "(less twice its standard error, where it is sure), or from the median of it and two "
        "neighbours on either side. A drift along the series is corrected.",
    ),
    "placing": Definition(
        "Places of the sub-scans",
        "px",
        "Largest standard error of the place of a sub-scan, along z and across, as neighbours fit "
        "each other; that of the motors where they are not compared, or show nothing alike.",
    ),
    "seam": Definition(
        "Seams",
        "",
        "Worst seam score: rms change of the slices over the rows where one sub-scan goes over "
        "into the next, over that of the rows beside them, and over what noise makes of a perfect "
        "seam that is blended over few rows. 1 is no seam.",
    ),
    "sampling": Definition(
        "Angular sampling",
        "",
        "Directions within half a turn over pi/2 N, N the diameter of the slices in voxels. At 1 "
        "neighbouring views are a voxel apart at the rim; below, detail of less than 2 voxels over "
        "this number turns into streaks there. Two views of a half-acquisition make one direction.",
    ),
    "missing": Definition(
        "Missing slices",
        "%",
        "Slices without data: that no sub-scan has seen, or that could not be made.",
    ),
    "repaired": Definition(
        "Repaired pixels",
        "%",
        "Values of the projections that were replaced before back-projection: dead pixels, "
        "zingers, counts at or below the dark level, rows without any pixel, what was raised "
        "before the logarithm.",
    ),
    "clipped": Definition(
        "Clipped voxels",
        "%",
        "Voxels inside of the measured circle below or above the 16-bit window, which are stored "
        "as its ends. The default window leaves 0.1 % on either side on purpose.",
    ),
    "motion": Definition(
        "Sudden motion",
        "px",
        "Largest sudden motion of the sample during a scan that was found and is left in; 0: none.",
    ),
    "bubbles": Definition("Bubbles", "", "Bubbles that have come or gone during a scan."),
    "rings": Definition(
        "Rings",
        "",
        "Worst ring score of whole slices: rms of what 15-degree parts of a circle about the axis "
        "have in common that are not neighbours, over the noise of single voxels. Flats of few "
        "photons leave rings too: their noise is the same in all views.",
    ),
    "cnr": Definition(
        "Contrast to noise",
        "",
        "Distance between the two classes of voxels (Otsu's threshold on means over 4 x 4 voxels) "
        "over the standard deviation of flat squares of 16 voxels.",
    ),
    "sharpness": Definition(
        "Width of edges",
        "voxels",
        "Full width at half maximum of the blur of the mean edge, in voxels.",
    ),
    "halo": Definition(
        "Halo of edges",
        "",
        "Height of the rim beside the mean edge over its step, either sign: above 0 fringes are "
        "left (delta/beta too small), below 0 edges die out slowly (too large).",
    ),
    "snr": Definition(
        "Signal to noise",
        "",
        "Standard deviation of the sample over that of the noise, from slices of even and of odd "
        "views: root of their covariance over a quarter of the variance of their difference.",
    ),
    "resolution": Definition(
        "Resolution",
        "voxels",
        "Period at which the Fourier ring correlation of slices of even and of odd views falls "
        "below the half-bit curve; 2 voxels is all that there can be. What is fixed to the "
        "detector, as rings are, counts as sample.",
    ),
    "fresnel": Definition(
        "Fresnel regime",
        "",
        "lambda z / p^2. Linear retrieval reverses detail of less than its root, in voxels a "
        "period; up to 6 it errs by less than 5 % of the structure even where fringes are strong, "
        "at 36 by 10 % in tissue.",
    ),
    "quanta": Definition(
        "Effective photons",
        "a pixel",
        "Photons a pixel and view that would give the noise of the flats: fewer than have hit the "
        "detector, as none counts all; more where its blur averages noise.",
    ),
    "saturated": Definition(
        "Saturated pixels",
        "%",
        "Pixels of the flats that hold the largest number that their type can.",
    ),
    "current": Definition(
        "Machine current", "%", "Machine current at the last view over that at the first."
    ),
    "dose": Definition(
        "Dose, estimate",
        "Gy",
        "Dose in water where the beam enters, of the effective photons of all views of one "
        "sub-scan: N n E (mu_en/rho) / p^2. Too small by what the detector does not count, too "
        "large by what its blur averages.",
    ),
}
"""By the key of the figure, in the order of a report."""
