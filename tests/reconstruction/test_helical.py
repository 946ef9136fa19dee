"""Helical scans of a smooth body, against the truth and against the scan that only turns."""

from dataclasses import dataclass

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction import fbp
from hipct.reconstruction.helical import Helix

COLUMNS = 96
BUMPS = [  # mu, x, y, z, radius across, half height
    (1.0, 1.0, -2.0, 40.0, 36.0, 60.0), (-0.5, 12.0, 10.0, 30.0, 14.0, 16.0),
    (0.6, -14.0, -12.0, 52.0, 13.0, 14.0), (0.5, 0.0, 16.0, 70.0, 12.0, 12.0),
]  # fmt: skip


def line_integrals(theta, z, axis, columns=COLUMNS):
    """Of the bumps mu (1 - q)^2 at angles (n,) and organ rows (n, rows): (n, rows, columns)."""
    rows = np.zeros((*z.shape, columns))
    for mu, x, y, height, r, h in BUMPS:
        centre = axis + x * np.cos(theta) + y * np.sin(theta)
        t = (np.arange(columns) - centre[:, None]) / r
        left = 1 - t[:, None, :] ** 2 - ((z - height) / h)[:, :, None] ** 2
        rows += mu * r * 16 / 15 * np.maximum(left, 0) ** 2.5
    return rows


def truth(phantoms, size, z):
    x, y = phantoms.coordinates(size)
    image = np.zeros((len(z), size, size))
    for mu, a, b, height, r, h in BUMPS:
        q = ((x - a) ** 2 + (y - b) ** 2) / r**2 + ((z[:, None, None] - height) / h) ** 2
        image += mu * np.maximum(1 - q, 0) ** 2
    return image


@dataclass
class Scan:
    """A helical scan: pitch in rows a turn, angles a turn, turns."""

    pitch: float
    per_turn: float
    turns: float
    axis: float
    acquisition: str = "half"
    rows: int = 24
    start: float = 0.3

    def __post_init__(self):
        number = np.arange(int(self.turns * self.per_turn))
        self.theta = 0.4 + number * 2 * np.pi / self.per_turn
        self.offset = self.start + number * self.pitch / self.per_turn
        if self.pitch < 0:
            self.offset += 90.0
        z = self.offset[:, None] + np.arange(self.rows)
        self.projections = line_integrals(self.theta, z, self.axis).astype(np.float32)

    def helix(self, **options):
        return Helix(self.theta, self.offset, self.rows, self.acquisition, **options)

    def sinograms(self, helix, rows, size=70, projections=None, xp=np):
        given = self.projections if projections is None else projections
        slab = helix.slab(rows)
        out = xp.zeros((len(rows), slab.angles, COLUMNS), np.float32)
        for block in slab.blocks(size):
            needed = slab.detector_rows(block)
            part = given[block.start : block.stop, needed.start : needed.stop]
            slab.add(xp.asarray(part), block, out, first_detector_row=needed.start)
        return out

    def slices(self, rows, **options):
        helix = self.helix(**options)
        sinograms = self.sinograms(helix, rows)
        return fbp(sinograms, helix.turn, self.axis, acquisition=self.acquisition)


SCANS = [
    Scan(10.7, 300, 9.0, 70.3), Scan(-10.7, 300, 9.0, 25.2), Scan(22.0, 300, 4.5, 70.3),
    Scan(10.7, 300.43, 9.0, 70.3), Scan(3.3, 240, 20.0, 70.3), Scan(23.5, 320, 4.0, 47.5, "full"),
    Scan(40.0, 320, 2.6, 47.3, "full"), Scan(15.0, 321, 6.0, 47.3, "full"),
]  # fmt: skip


def name(scan):
    return f"{scan.acquisition} {scan.pitch} {scan.per_turn}"


@pytest.mark.parametrize("scan", SCANS, ids=name)
def test_rows_between_turns_are_those_of_a_circular_scan(phantoms, scan):
    helix = scan.helix()
    covered = helix.organ_rows
    z = np.array([covered[0], covered[0] + 3, covered[len(covered) // 2]])
    found = np.concatenate([scan.slices(range(k, k + 1)) for k in z])
    rows = line_integrals(helix.turn, np.tile(z.astype(float), (helix.turn.size, 1)), scan.axis)
    known = fbp(np.moveaxis(rows, 1, 0), helix.turn, scan.axis, acquisition=scan.acquisition)
    inside = np.hypot(*phantoms.coordinates(found.shape[1])) < 40
    difference = np.sqrt(np.mean((found - known)[:, inside] ** 2, axis=1))
    # The first row lies on the detector's edge, where there is little to interpolate from.
    assert (difference < (3e-4, 1e-4, 1e-4)).all()
    error = (found - truth(phantoms, found.shape[1], z))[:, inside]
    assert np.sqrt(np.mean(error**2)) < 4e-4


@pytest.mark.parametrize("scan", SCANS, ids=name)
def test_each_direction_counts_once(scan):
    """Also in the rows at both ends, which some directions see in few turns."""
    helix = scan.helix()
    covered = helix.organ_rows
    ones = np.ones(scan.projections.shape, np.float32)
    for rows in (range(covered[0], covered[0] + 4), range(covered[-1] - 3, covered[-1] + 1)):
        sums = scan.sinograms(helix, rows, projections=ones)[:, :, 0]
        if scan.acquisition == "full":
            half = sums.shape[1] // 2
            sums = (sums[:, :half] + sums[:, half:]) / 2
        np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_rows_outside_of_the_covered_ones_miss_directions():
    scan = SCANS[0]
    covered = scan.helix().organ_rows
    seen = [scan.theta[(scan.offset <= z) & (scan.offset + 23 >= z)] for z in (
        covered.start, covered.start - 1, covered.stop - 1, covered.stop)]  # fmt: skip
    directions = [len(np.unique(np.round(np.mod(a, 2 * np.pi) * 300 / 2 / np.pi, 3))) for a in seen]
    assert directions[0] == directions[2] == 300
    assert directions[1] < 300
    assert directions[3] < 300


def test_levels_of_turns_go_over_into_one_another_smoothly():
    """Levels of turns 10 % apart: rows where a turn begins or ends show no line."""
    scan = Scan(15.3, 120, 7.0, 70.3)
    levels = 1 + 0.1 * (np.arange(len(scan.theta)) // 120 % 2)
    given = np.ones((len(scan.theta), scan.rows, COLUMNS), np.float32) * levels[:, None, None]
    given = given.astype(np.float32)
    helix = scan.helix()
    middle = helix.organ_rows[len(helix.organ_rows) // 2]
    rows = range(middle - 16, middle + 16)
    smooth = scan.sinograms(helix, rows, projections=given)[:, :, 0].astype(float)
    # The plain mean of all turns that see a row, as it would be without weights.
    z = np.array(rows)[:, None]
    sees = (scan.offset <= z) & (z <= scan.offset + scan.rows - 1)
    plain = np.stack([
        (sees[:, k::120] * levels[k::120]).sum(axis=1) / sees[:, k::120].sum(axis=1)
        for k in range(120)
    ], axis=1)  # fmt: skip
    lines, transitions = (np.abs(np.diff(means, axis=0)).max() for means in (plain, smooth))
    assert lines > 0.045
    assert transitions < 0.4 * lines


@pytest.mark.parametrize("scan", [SCANS[0], SCANS[3]], ids=name)
def test_same_bits_for_any_slab_block_and_number_of_threads(scan, one_thread_then_all):
    helix = scan.helix()
    rows = range(40, 47)
    whole = scan.sinograms(helix, rows)
    one_thread_then_all(1)
    single = [scan.sinograms(helix, range(k, k + 1), size=33) for k in rows]
    np.testing.assert_array_equal(whole, np.concatenate(single))


@pytest.mark.parametrize("scan", SCANS, ids=name)
def test_some_angles_of_the_turn_are_those_of_the_whole_and_need_few_projections(scan):
    helix = scan.helix()
    rows = range(helix.organ_rows[0], helix.organ_rows[0] + 5)
    whole = scan.sinograms(helix, rows)
    turn = helix.turn.size
    for angles in (range(0, 7), range(turn // 2 - 3, turn // 2 + 20), range(turn - 1, turn)):
        slab = helix.slab(rows, angles)
        out = np.zeros((len(rows), len(angles), COLUMNS), np.float32)
        for block in slab.blocks(9):
            needed = slab.detector_rows(block)
            part = scan.projections[block.start : block.stop, needed.start : needed.stop]
            slab.add(part, block, out, first_detector_row=needed.start)
        np.testing.assert_array_equal(out, whole[:, angles.start : angles.stop])
        seen = {number for block in slab.blocks(9) for number in block}
        assert len(seen) <= (len(angles) + 2) * (scan.turns + 1)


def test_rows_at_the_border_of_the_detector_can_be_left_out():
    scan = Scan(10.7, 120, 9.0, 70.3)
    helix = scan.helix(border_rows=6)
    assert len(helix.organ_rows) < len(scan.helix().organ_rows)
    spoilt = scan.projections.copy()
    spoilt[:, :2] = spoilt[:, -2:] = 100.0
    rows = range(40, 44)
    clean = scan.sinograms(helix, rows)
    np.testing.assert_allclose(scan.sinograms(helix, rows, projections=spoilt), clean, atol=1e-5)


def test_devices_gather_as_numpy_does(xp, fetch):
    for scan in (Scan(6.0, 40, 5.0, 70.3), Scan(6.0, 40.3, 5.0, 70.3)):
        helix = scan.helix()
        rows = range(15, 19)
        found = fetch(scan.sinograms(helix, rows, xp=xp))
        np.testing.assert_allclose(found, scan.sinograms(helix, rows), atol=2e-5)


TURNS = np.arange(400) * 2 * np.pi / 100


@pytest.mark.parametrize(("angles", "offset", "options", "message"), [
    (TURNS, np.arange(399.0), {}, "one|each of the 400"),
    (TURNS, np.arange(400.0), {}, "more than the height"),
    (TURNS[:60], np.arange(60) * 0.1, {}, "needs 360 for each"),
    (np.sin(TURNS), np.arange(400) * 0.1, {}, "turn back"),
    (TURNS, np.arange(400) * 0.1, {"border_rows": 16}, "leave nothing"),
    (TURNS, np.arange(400) * 0.1, {"acquisition": "quarter"}, "has to be 'full' or 'half'"),
])  # fmt: skip
def test_helices_that_cannot_be(angles, offset, options, message):
    with pytest.raises(InputError, match=message):
        Helix(angles, offset, 32, **options)


def test_what_does_not_fit_a_slab():
    helix = Helix(TURNS, np.arange(400) * 0.1, 32)
    with pytest.raises(InputError, match="not all seen"):
        helix.slab(range(0, 5))
    for angles in (range(3, 3), range(-1, 4), range(98, 101)):
        with pytest.raises(InputError, match="not all of the turn"):
            helix.slab(range(15, 20), angles)
    slab = helix.slab(range(15, 20))
    block = slab.blocks(50)[0]
    with pytest.raises(InputError, match="of the block is needed"):
        slab.add(np.zeros((3, 32, 8), np.float32), block, np.zeros((5, 100, 8), np.float32))
    with pytest.raises(InputError, match="of the shape"):
        slab.add(np.zeros((50, 32, 8), np.float32), block, np.zeros((4, 100, 8), np.float32))
