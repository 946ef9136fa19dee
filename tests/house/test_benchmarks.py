"""The instruments of the benchmarks: peers in our conventions, the error, the table."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from benchmarks.common import Timing, measure, relative_rms, write_table
from benchmarks.cpu_case import Case, Contender, as_exact_as, at_most_ms, run, times_as_fast, within
from benchmarks.peers import PEERS, PeerMissing

COLUMNS, ANGLES = 64, 120
CENTRE_X, CENTRE_Y, RADIUS = 5.0, -8.0, 14.0
ATTENUATION = np.array([0.02, 0.05, 0.01])


def disc_sinograms(angles, axis, columns):
    """Line integrals of an off-centre disc, averaged over each pixel: (3, angles, columns)."""
    middle = axis + CENTRE_X * np.cos(angles) + CENTRE_Y * np.sin(angles)
    chords = 0.0
    for offset in (np.arange(8) - 3.5) / 8:
        distance = np.arange(columns) + offset - middle[:, None]
        chords = chords + 2 * np.sqrt(np.maximum(RADIUS**2 - distance**2, 0)) / 8
    return (ATTENUATION[:, None, None] * chords).astype(np.float32)


@pytest.fixture
def one_numba_thread():
    """algotom's threads add to one image without a lock; one thread adds up."""
    numba = pytest.importorskip("numba", reason="numba is not installed")
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


@pytest.mark.usefixtures("one_numba_thread")
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(("columns", "axis"), [(COLUMNS, None), (COLUMNS, 30.3), (65, 33.0)])
def test_a_peer_puts_the_disc_where_our_conventions_put_it(name, columns, axis):
    angles = np.arange(ANGLES) * np.pi / ANGLES
    position = axis if axis is not None else (columns - 1) / 2
    sinograms = disc_sinograms(angles, position, columns)
    before = sinograms.copy()
    try:
        slices = PEERS[name](sinograms, angles, axis)
    except PeerMissing as reason:
        pytest.skip(str(reason))
    assert slices.shape == (3, columns, columns)
    assert slices.dtype == np.float32
    assert np.array_equal(sinograms, before)
    grid = np.arange(columns) - (columns - 1) / 2
    distance = np.hypot(grid - CENTRE_X, grid[:, None] - CENTRE_Y)
    scale = ANGLES / (ANGLES - 1) if name == "algotom" else 1.0
    for image, truth in zip(slices, ATTENUATION, strict=True):
        assert image[distance < RADIUS - 4].mean() == pytest.approx(scale * truth, rel=1e-3)
        near = np.where(distance < RADIUS + 5, image, 0)
        assert (near * grid).sum() / near.sum() == pytest.approx(CENTRE_X, abs=0.03)
        assert (near * grid[:, None]).sum() / near.sum() == pytest.approx(CENTRE_Y, abs=0.03)


def test_uneven_angles_weigh_by_their_gaps_in_finufft():
    rng = np.random.default_rng(1)
    angles = rng.permutation((np.arange(ANGLES) + rng.uniform(0, 0.9, ANGLES)) * np.pi / ANGLES)
    try:
        slices = PEERS["finufft"](disc_sinograms(angles, 31.5, COLUMNS), angles, None)
    except PeerMissing as reason:
        pytest.skip(str(reason))
    grid = np.arange(COLUMNS) - 31.5
    inside = np.hypot(grid - CENTRE_X, grid[:, None] - CENTRE_Y) < RADIUS - 4
    assert slices[0][inside].mean() == pytest.approx(ATTENUATION[0], rel=3e-3)


def test_the_error_is_relative_and_counts_the_disc_only():
    truth = np.full((2, 20, 20), 5.0)
    image = truth + 0.1
    image[:, 0, 0] += 1e6  # a corner
    assert relative_rms(image, truth, value=5.0) == pytest.approx(0.02)
    image[:, 9, 9] += 1e6
    edge = np.zeros((20, 20), bool)
    edge[9, 9] = True
    assert relative_rms(image, truth, value=5.0, edge=edge) == pytest.approx(0.02)


def test_contenders_take_turns_after_a_warm_up():
    order = []
    timings = measure({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "b"] * 3
    assert [len(timing.seconds) for timing in timings.values()] == [2, 2]


def test_the_median_is_quoted_and_the_spread_is_longest_over_shortest():
    timing = Timing((2.0, 1.0, 30.0))
    assert timing.median == 2.0
    assert timing.spread == 30.0


def test_a_table_is_printed_and_kept_with_its_command_and_machine(tmp_path, capsys):
    chosen = argparse.Namespace(out=tmp_path, repeats=3, threads=None, quick=True)
    rows = [{"who": "hipct", "ms": 1.23456}, {"who": "peer", "ms": None}]
    write_table("cpu", rows, chosen, facts={"angles": "900"})
    table = "| who | ms |\n|---|---|\n| hipct | 1.23 |\n| peer | - |"
    assert table in capsys.readouterr().out
    page = (tmp_path / "cpu.md").read_text()
    assert table in page
    assert page.startswith("`python -m benchmarks.cpu --repeats 3 --quick`\n")
    record = json.loads((tmp_path / "cpu.json").read_text())
    assert record["rows"] == rows
    assert record["facts"]["angles"] == "900"
    assert record["facts"]["cores"] != "0"


def rows_of(contenders):
    """Rows by name; a call says how many milliseconds it takes."""
    found = run(Case("stage", "size", contenders), repeats=3)
    return {row["code"]: row for row in found}


def test_contenders_are_judged_by_their_bars(monkeypatch):
    """Ours takes 10 ms a slice at an error of 1e-3, one peer 45 and one 60."""
    takes = {"hipct": 0.04, "one": 0.045, "two": 0.06}
    clock = {"now": 0.0}
    monkeypatch.setattr("benchmarks.common.time.perf_counter", lambda: clock["now"])

    def call(name):
        def work():
            clock["now"] += takes[name]

        return work

    def absent():
        raise PeerMissing("not here")

    rows = rows_of({
        "hipct": Contender(
            call("hipct"), 4, lambda result: 1e-3,
            floor=(times_as_fast(4, "one", "two"), as_exact_as(1e-3)),
            aim=(times_as_fast(5, "one", "two"), at_most_ms(10.1), within(0.2, "two")),
        ),
        "one": Contender(call("one"), slow=True),
        "two": Contender(call("two"), floor=(times_as_fast(2, "three"),)),
        "three": Contender(absent),
    })  # fmt: skip
    assert list(rows) == ["hipct", "one", "two"]
    assert [row["time"] for row in rows.values()] == pytest.approx([10, 45, 60])
    assert (rows["hipct"]["floor met"], rows["hipct"]["aim met"]) == ("yes", "no")
    assert rows["hipct"]["floor"] == "4 x one and two: 4.5; error <= 0.001: 0.001"
    assert rows["hipct"]["aim"] == "5 x one and two: 4.5; 10.1 ms: 10; <= 0.2 x two: 0.167"
    # A bar whose peer is absent judges nothing.
    assert (rows["two"]["floor"], rows["two"]["floor met"]) == ("2 x three", None)
