"""The phase explorer beside a scan that is browsed live, and from the command line."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from hipct.cli.main import cli
from hipct.core.errors import InputError
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


def test_over_a_live_window_it_follows_the_slice_and_takes_its_own_axis(make_viewer, store, until):
    from hipct.viewing.explorer import explorer_of
    from hipct.viewing.live import add_live

    viewer = make_viewer()
    with pytest.raises(InputError, match="No raw scan is shown"):
        explorer_of(viewer)
    shown = add_live(viewer, store, Config(reconstruction={"filter": "hann"}))
    until(lambda: shown.layer is not None)
    explorer = explorer_of(viewer)
    viewer.window.add_dock_widget(explorer, name="Phase explorer")
    until(lambda: explorer.tuning is not None and not explorer.busy)
    # Not the axis of the first look, which is in the configuration of its slices.
    assert explorer.tuning.live.config.axis.value is None
    assert explorer.tuning.values["reconstruction.filter"] == "hann"
    assert not shown.layer.visible
    viewer.dims.set_current_step(0, 5)
    until(lambda: not explorer.busy and explorer.z == 5)
    np.testing.assert_array_equal(explorer.picture.shown.after, explorer.tuning.slice(5))
    explorer.slice_field.setValue(11)
    assert viewer.dims.current_step[0] == 11
    until(lambda: not explorer.busy)
    explorer.close_down()
    assert shown.layer.visible
    assert [layer.name for layer in viewer.layers] == [shown.layer.name]


def test_one_call_opens_scan_and_explorer(screen, store, until):
    from qtpy.QtWidgets import QDockWidget

    from hipct.viewing.explorer_panel import PhaseExplorer
    from hipct.viewing.live import view_live

    viewer = view_live(store, Config(axis={"value": 31.9}), tune=True, show=False)
    try:
        docks = viewer.window._qt_window.findChildren(QDockWidget)
        (explorer,) = [each for dock in docks for each in dock.findChildren(PhaseExplorer)]
        until(lambda: explorer.tuning is not None and not explorer.busy)
        until(lambda: len(viewer.layers) == 4)
        # The scan lies below, and is not made as well.
        assert not viewer.layers[store.name.removesuffix(".zarr")].visible
        assert explorer.status.text().startswith("Slice 8, fine")
        explorer.close_down()
    finally:
        viewer.close()


def test_tuning_is_of_a_live_scan(store):
    told = CliRunner().invoke(cli, ["view", str(store), "--tune"])
    assert told.exit_code == 2
    assert "--tune" in told.output
    assert "belong to --live" in " ".join(told.output.split())
