"""Figures and pictures of the benchmark of a series."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.series_data import Data, Runs, blends, cores
from hipct.simulation.truth import Truth
from hipct.volume.open import Volume
from hipct.volume.ring_score import ring_score
from hipct.volume.seam import row_differences, seam_score

Float = NDArray[np.float64]
Row = dict[str, object]

DISC, EDGE_PX, EDGE_MOVED_PX = 0.95, 4, 8
AROUND = 6
"""Slices on either side of one that is moved along z."""


class Judge:
    """Compares the volume of a series with the truth, and with the one scan."""

    def __init__(self, data: Data, runs: Runs) -> None:
        self.data, self.runs, truth = data, runs, data.truth
        found = runs.organ_report
        self.offset = np.array([sub["offset_px"] for sub in found]) - truth.offsets_px
        self.centre = np.array([sub["centre_px"] for sub in found]) - truth.lateral_px
        self.axis = np.array([sub["axis_px"] for sub in found]) - truth.axes_px
        light = np.array([np.mean(place.darkening) for place in truth.placements])
        off = np.array([sub["level"] for sub in found]) + np.log(1 - light)
        self.level = off - off.mean()
        pixel = truth.whole.setup.pixel_size_um
        # Where the whole lies: a point of the common grid is found at this (z, y, x) from it.
        self.aside = np.array([self.offset.mean(), *(-self.centre.mean(axis=0))])
        z, y, x = self.aside * pixel
        self.true = Truth(truth.whole.organ.moved(x, y, z), truth.whole.setup)
        self.height, _, self.side = runs.ours.shape
        setup = truth.whole.setup
        radius = max(setup.axis_px, setup.columns - 1 - setup.axis_px)
        self.radius = radius - float(np.abs(truth.lateral_px).max()) - 1
        position = np.arange(self.side) - (self.side - 1) / 2
        self.disc = np.hypot(position[:, None], position) <= DISC * self.radius
        weights = blends(found, self.height, runs.first_row)
        self.seams = [
            np.flatnonzero((below > 0) & (above > 0)) for below, above in pairwise(weights)
        ]

    def table(self) -> list[Row]:
        """All figures."""
        runs, report = self.runs, self.runs.ours_report
        spread = self.offset - self.offset.mean(), self.centre - self.centre.mean(axis=0)
        rows = [
            figure("position error along z, largest, px", np.abs(spread[0]).max(), 0.1),
            figure(
                "position error from neighbour to neighbour, largest, px",
                np.abs(np.diff(self.offset)).max(),
                0.1,
            ),
            figure("position error across, largest, px", np.abs(spread[1]).max(), 0.1),
            figure("axis error, largest, px", np.abs(self.axis).max(), None),
            figure("level left, largest, line integral", np.abs(self.level).max(), None),
            *self.seam_figures(),
            *self.slice_figures("where one sub-scan is", cores(runs)),
            *self.slice_figures(
                "in the middle of seams", [int(seam[len(seam) // 2]) for seam in self.seams]
            ),
            *self.ring_figures(),
        ]
        size = sum(path.stat().st_size for path in runs.ours.path.rglob("*") if path.is_file())
        voxels = " x ".join(str(n) for n in runs.ours.shape)
        rows += [
            figure("wall time, s", report["wall_s"], None),
            figure("Mvoxel/s", report["voxels_per_s"] / 1e6, None),
            figure("peak memory, GB", report["peak_bytes"] / 1e9, None),
            figure(f"output of {voxels}, GB", size / 1e9, None),
        ]
        return rows

    def seam_figures(self) -> list[Row]:
        """Seam scores, of all seams, and of those of the naive stack in the same cut."""
        differences = self.differences(self.runs.ours)
        blended = [seam_score(differences, int(s[0]), int(s[-1])) for s in self.seams]
        # What the organ itself does in these slices.
        less = round(self.runs.first_row - self.aside[0])
        own = self.differences(self.runs.whole)
        alike = [seam_score(own, int(s[0]) + less, int(s[-1]) + less) for s in self.seams]
        edges = [seam_score(differences, int(k)) for s in self.seams for k in (s[0], s[-1] + 1)]
        cut = [self.runs.ours, self.runs.naive]
        lines = [self.cut(volume) for volume in cut]
        scores = []
        for line, report in zip(lines, (self.runs.ours_report, self.runs.naive_report)):
            steps = np.sqrt(np.mean(np.diff(_means(line), axis=0) ** 2, axis=1))
            weights = blends(
                report["series"]["sub_scans"], len(line), int(report["source"]["rows"][0])
            )
            zones = [np.flatnonzero((a > 0) & (b > 0)) for a, b in pairwise(weights)]
            scores.append(max(seam_score(steps, int(z[0]), int(z[-1])) for z in zones))
        return [
            figure(f"seam score, largest of {len(blended)}", max(blended), 1.05),
            figure("seam score of the same slices in the one scan, largest", max(alike), None),
            figure(
                "seam score above that of the one scan, largest",
                max(np.array(blended) / alike),
                1.05,
            ),
            figure(
                "seam score as the run reports it, largest",
                max(seam["score"] for seam in self.runs.ours_report["series"]["seams"]),
                1.05,
            ),
            figure("seam score where seams begin and end, largest", max(edges), None),
            figure("seam score in the coronal cut, largest", scores[0], None),
            figure("the same, naive", scores[1], None),
        ]

    def slice_figures(self, where: str, slices: list[int]) -> list[Row]:
        """Rms and bias of some slices, as the median over them and the largest."""
        chosen = [z for z in slices if AROUND < z < self.height - AROUND]
        found = np.array([self.compared(z) for z in chosen[:: max(1, len(chosen) // 6)]])
        if not found.size:
            return []
        middle, largest = np.median(found, axis=0), np.abs(found).max(axis=0)
        noisy = self.runs.with_rings is not None
        return [
            figure(f"{where}: rms / tissue against the truth", middle[0], None, largest[0]),
            figure(f"{where}: the same of the one scan", middle[1], None, largest[1]),
            figure(
                f"{where}: rms / tissue against the one scan",
                middle[2],
                None if noisy else 3e-3,
                largest[2],
            ),
            figure(f"{where}: bias / tissue", middle[3], None, largest[3]),
            figure(f"{where}: share of the disc that counts", middle[4], None),
        ]

    def ring_figures(self) -> list[Row]:
        """Rings, before and after."""
        if self.runs.with_rings is None:
            return []
        after = self.runs.ours.physical(0, (self.runs.rings_place,))
        scores = [ring_score(slab) for slab in (self.runs.with_rings.physical(0), after)]
        (before, _), (left, _) = (
            (float(np.mean(score.ring_rms)), float(np.mean(score.score))) for score in scores
        )
        return [
            figure("rings, rms / tissue, not removed", before / self.tissue, None),
            figure("rings, rms / tissue, removed", left / self.tissue, None),
        ]

    @property
    def tissue(self) -> float:
        """Attenuation of the body in 1/cm."""
        values = self.truth_at(self.height // 2)[self.disc]
        return float(np.median(values[values > 0.5 * values.max()]))

    def truth_at(self, z: int) -> Float:
        """True slice (side, side) where the volume has its slice ``z``."""
        row = z + self.runs.first_row
        image: Float = self.true.volume(slice(row, row + 1), size=self.side)[0].astype(np.float64)
        return image

    def compared(self, z: int) -> tuple[float, float, float, float, float]:
        """Rms against the truth, that of the one scan, the rms between them, bias, and share."""
        true, tissue = self.truth_at(z), self.tissue
        found = self.runs.ours.physical(0, (z,)).astype(np.float64)
        whole = self.whole_at(z)
        steep = ndimage.gaussian_gradient_magnitude(true, 1) > 0.02 * tissue

        def rms(difference: Float, edge_px: int) -> float:
            inner = self.disc & ~ndimage.binary_dilation(steep, iterations=edge_px)
            return float(np.sqrt(np.mean(difference[inner] ** 2)) / tissue)

        inner = self.disc & ~ndimage.binary_dilation(steep, iterations=EDGE_PX)
        return (
            rms(found - true, EDGE_PX),
            rms(whole - true, EDGE_MOVED_PX),
            rms(found - whole, EDGE_MOVED_PX),
            float((found - true)[inner].mean() / tissue),
            float(inner.sum() / self.disc.sum()),
        )

    def whole_at(self, z: int) -> Float:
        """The one scan's slice, moved to where the volume has its slice ``z``."""
        row = z + self.runs.first_row - self.aside[0]
        first = max(0, int(row) - AROUND)
        slab = self.runs.whole.physical(0, (slice(first, int(row) + AROUND + 2),))
        less = (slab.shape[1] - self.side) / 2
        n = np.arange(self.side)
        places = np.meshgrid(
            [row - first], n + less - self.aside[1], n + less - self.aside[2], indexing="ij"
        )
        moved: Float = ndimage.map_coordinates(slab.astype(np.float64), places, order=5)[0]
        return moved

    def differences(self, volume: Volume) -> Float:
        """Differences of neighbouring slices, read in slabs that share a slice."""
        height, side = volume.shape[:2]
        position = np.arange(side) - (side - 1) / 2
        disc = np.hypot(position[:, None], position) <= DISC * self.radius
        steps = [
            row_differences(volume.physical(0, (slice(z, min(z + 65, height)),)), inside=disc)
            for z in range(0, height - 1, 64)
        ]
        joined: Float = np.concatenate(steps)
        return joined

    def cut(self, volume: Volume) -> Float:
        """The coronal cut through the axis, (slices, side)."""
        line: Float = volume.physical(0, (slice(None), volume.shape[1] // 2)).astype(np.float64)
        inside: Float = line[:, int(self.side / 2 - DISC * self.radius) :][
            :, : int(2 * DISC * self.radius)
        ]
        return inside

    def pictures(self, folder: Path, name: str) -> None:
        """Coronal cuts, naive and ours, with the seams marked; and an axial slice in a seam."""
        limits = -0.2 * self.tissue, 1.6 * self.tissue
        cuts = [self.cut(volume) for volume in (self.runs.naive, self.runs.ours)]
        seams = [int(seam[len(seam) // 2]) for seam in self.seams]
        ticks = np.zeros((self.height, 14))
        for z in seams:
            ticks[z - 1 : z + 2, :10] = 1.0
        ticks = limits[0] + ticks * (limits[1] - limits[0])
        least = min(len(cut) for cut in cuts)
        save(
            folder / f"{name}_coronal.png",
            [cuts[0][:least], ticks[:least], cuts[1][:least]],
            limits,
        )
        z = seams[len(seams) // 2]
        found, true = self.runs.ours.physical(0, (z,)).astype(np.float64), self.truth_at(z)
        middle = sum(limits) / 2
        difference = middle + 5 * np.where(self.disc, found - true, 0)
        save(folder / f"{name}_axial.png", [found, true, difference], limits)


def figure(what: str, value: float, goal: float | None, largest: float | None = None) -> Row:
    """A row of the table."""
    return {
        "figure": what,
        "value": float(value),
        "largest": None if largest is None else float(largest),
        "goal": None if goal is None else f"at most {goal:g}",
    }


def _means(line: Float, tile: int = 4) -> Float:
    """Means of neighbouring columns, as the seam score has them in tiles."""
    columns = line.shape[1] // tile * tile
    means: Float = line[:, :columns].reshape(len(line), -1, tile).mean(axis=2)
    return means


def save(path: Path, images: list[Float], limits: tuple[float, float]) -> None:
    """Images of one height beside each other, from black to white between two values."""
    joined = np.concatenate(images, axis=1)
    grey = np.clip((joined - limits[0]) / (limits[1] - limits[0]), 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(255 * grey).astype(np.uint8)).save(path)
