"""A sweep in a window of its own: asked for beside a slice, seen at once, and one value taken."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hipct.live.scan import LiveScan
from hipct.pipeline.config import Config
from hipct.simulation.scan import simulate_scan


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return simulate_scan(
        tmp_path_factory.mktemp("sweep") / "scan.zarr",
        acquisition="full",
        axis=31.9,
        columns=64,
        rows=16,
        angles=96,
        distance_m=12.0,
        flats=2,
        darks=2,
    )


@pytest.fixture(scope="module")
def live(store):
    with LiveScan(store, Config(axis={"value": 31.9})) as opened:
        yield opened


def test_a_sweep_opens_beside_it_and_gives_a_value_back(make_viewer, live, until, photograph):
    from hipct.viewing.explorer import add_explorer

    explorer = add_explorer(make_viewer(), live)
    until(lambda: explorer.tuning is not None and not explorer.busy)
    explorer.sweep.count.setValue(4)
    explorer.sweep.run()
    until(lambda: explorer.sweep.panel is not None)
    panel, window = explorer.sweep.panel, explorer.sweep.window
    try:
        pause = time.monotonic() + 0.5
        until(lambda: time.monotonic() > pause)
        picture = photograph(window)
        # Pictures, yellow labels, and gaps between them.
        assert (picture[..., :2].min(axis=-1) > 200)[picture[..., 2] < 60].sum() > 100
        assert picture.std() > 20
        assert len(window.layers) == 2
        panel.beside.setChecked(False)
        panel.choose(1)
        assert window.dims.current_step[0] == 1
        assert window.dims.axis_labels[0] == "delta/beta"
        stack = window.layers["delta/beta"]
        assert stack.data.shape[0] == 4
        value = stack.metadata["values"][1]
        assert f"{value:.6g}" in window.canvas.overlays.text.text
        panel.take.click()
        assert explorer.changes["phase.delta_beta"] == value
        until(lambda: explorer.picture.shown.tuned.changes == explorer.changes)
        np.testing.assert_array_equal(explorer.picture.shown.after, stack.data[1])
    finally:
        window.close()
        explorer.close_down()
