"""Raw scans in real windows: pixels of known bodies, before and after the axis is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hipct.core.errors import FormatError
from hipct.pipeline.config import Config

BODY, SMALL = 0.01, 0.02
"""Attenuation per pixel of the large disc, and of what the small one adds."""
WINDOW = (-0.01, 0.04)
COLUMNS, ROWS = 301, 48


def grey(value):
    """What a canvas shows of an attenuation."""
    return 255 * (value - WINDOW[0]) / (WINDOW[1] - WINDOW[0])


@pytest.fixture(scope="module")
def discs():
    from tests.pipeline.conftest import disc_scan

    return disc_scan


@pytest.fixture
def settings():
    return Config(phase={"method": "none"}, volume={"window": WINDOW})


def at(viewer, picture, z_y_x):
    """Colour of the canvas where a voxel is drawn, as the mean of 3 x 3 pixels."""
    shown = [z_y_x[axis] for axis in viewer.dims.displayed]
    centre = [viewer.scene.camera.center[axis] for axis in (1, 2)]
    middle = (np.array(picture.shape[:2]) - 1) / 2
    row, column = np.rint(middle + (np.array(shown) - centre) * viewer.scene.camera.zoom).astype(
        int
    )
    return picture[row - 1 : row + 2, column - 1 : column + 2].mean()


def finished(shown):
    """Tells whether the final scan is shown, and for a while nothing of the view was missing."""
    since = [time.monotonic()]

    def done():
        if not shown.settled or shown.pending:
            since[0] = time.monotonic()
        return time.monotonic() - since[0] > 0.6

    return done


@pytest.mark.parametrize(("acquisition", "axis"), [("full", None), ("half", 260.3)])
def test_a_scan_is_reconstructed_where_one_looks(  # noqa: PLR0917 - fixtures
    make_viewer, until, photograph, discs, settings, tmp_path, acquisition, axis
):
    from hipct.viewing.live import add_live
    from hipct.viewing.position import read_out

    scan = discs(columns=COLUMNS, rows=ROWS, angles=500, acquisition=acquisition, axis=axis)
    viewer = make_viewer()
    shown = add_live(viewer, scan, settings)
    until(finished(shown))
    live = shown.live
    assert abs(live.axis_px - (150.4 if axis is None else axis)) < 0.2
    size = live.shape[1]
    assert shown.layer.data[0].shape == live.shape == (ROWS, size, size)
    picture = photograph(viewer, tmp_path / "scan.png")
    axis = 150.4 if axis is None else axis
    reach = max(axis, COLUMNS - 1 - axis) if acquisition == "half" else min(axis, 300 - axis)
    z, middle = viewer.dims.current_step[0], (size - 1) / 2
    small = z, middle + 0.2 * reach, middle + 0.3 * reach
    assert abs(at(viewer, picture, small) - grey(BODY + SMALL)) < 6
    assert abs(at(viewer, picture, (z, middle, middle - 0.5 * reach)) - grey(BODY)) < 4
    assert abs(at(viewer, picture, (z, middle - 0.95 * reach, middle)) - grey(0)) < 4
    until(lambda: not shown.words)
    # Panels know it as they know a volume.
    world = [each * viewer.layers[0].scale[0] for each in small]
    assert read_out(viewer.layers, world).endswith(f" 1/pixel in {shown.layer.name}")
    assert abs(float(read_out(viewer.layers, world).split()[0]) - BODY - SMALL) < 0.002

    # Along the axis: the small disc becomes wider with z.
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, small[1])
    viewer.reset_view()
    until(finished(shown))
    picture = photograph(viewer, tmp_path / "along.png")
    for z, radius in ((8, 0.13), (40, 0.27)):
        for beside, value in ((radius - 0.03, BODY + SMALL), (radius + 0.03, BODY)):
            place = z, small[1], small[2] - beside * reach
            assert abs(at(viewer, picture, place) - grey(value)) < 12

    # In three dimensions: the brightest along every ray.
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    until(finished(shown))
    picture = photograph(viewer, tmp_path / "solid.png").mean(axis=-1)
    assert abs(np.percentile(picture, 99) - grey(BODY + SMALL)) < 25
    assert picture[picture.shape[0] // 2, picture.shape[1] // 2] > grey(BODY) - 20


@pytest.mark.parametrize("broken", [False, True])
def test_frames_that_cannot_be_read_are_told_and_the_window_goes_on(  # noqa: PLR0917 - fixtures
    make_viewer, until, photograph, discs, settings, broken
):
    from napari.utils.notifications import notification_manager

    from hipct.viewing.live import add_live

    scan = discs(columns=COLUMNS, rows=ROWS, angles=120)
    given = settings.model_copy(update={"axis": settings.axis.model_copy(update={"value": 150.4})})
    read = scan._read_into

    def fails(kind, frames, rows, out):
        if broken and kind == "projections" and rows.start <= 24 < rows.stop:
            raise FormatError("Projection 7 of discs cannot be read; copy it again.")
        read(kind, frames, rows, out)

    scan._read_into = fails
    viewer = make_viewer()
    told = len(notification_manager.records)
    shown = add_live(viewer, scan, given)
    until(finished(shown))
    z = viewer.dims.current_step[0]
    assert z == 24
    middle = (shown.live.shape[1] - 1) / 2
    seen = at(viewer, photograph(viewer), (z, middle, middle - 60))
    sentences = [str(each.message) for each in notification_manager.records[told:]]
    assert any("Projection 7 of discs cannot be read" in one for one in sentences) == broken
    assert abs(seen - grey(0.0 if broken else BODY)) < 4
    viewer.dims.set_current_step(0, 2)
    until(finished(shown))
    seen = at(viewer, photograph(viewer), (2, middle, middle - 60))
    # Slices that a coarse level makes together with the broken ones are missing too.
    assert abs(seen - grey(BODY)) < 4


def test_a_scan_without_an_axis_says_so_and_stays_open(make_viewer, until, discs, settings):
    from napari.utils.notifications import notification_manager

    from hipct.viewing.live import add_live

    # Angles of a fifth of a turn hold no opposite views.
    scan = discs(columns=64, rows=20, angles=30)
    scan.info = scan.info.with_overrides()
    object.__setattr__(scan.info, "angles_rad", scan.info.angles_rad * 0.2)
    told = len(notification_manager.records)
    viewer = make_viewer()
    shown = add_live(viewer, scan, settings)
    assert "is being found" in shown.words
    until(lambda: len(notification_manager.records) > told)
    assert len(viewer.layers) == 0
    # It is not said any more that something is on its way.
    until(lambda: shown.words == "nothing could be reconstructed")


def test_the_command_opens_a_file_and_refuses_what_does_not_belong_together(
    screen, until, monkeypatch, capsys, tmp_path
):
    import h5py
    import napari

    from hipct.cli.main import main
    from tests.pipeline.conftest import disc_scan

    def ended(*words):
        with pytest.raises(SystemExit) as stopped:
            main(["view", *map(str, words)])
        return stopped.value.code, capsys.readouterr().err

    scan = disc_scan(columns=64, rows=20, angles=60)
    path = tmp_path / "discs.h5"
    with h5py.File(path, "w") as file:
        for kind, name in (("projections", ""), ("flats", "_white"), ("darks", "_dark")):
            file[f"exchange/data{name}"] = scan.frames[kind]
        file["exchange/theta"] = np.rad2deg(scan.info.angles_rad)
    monkeypatch.setattr(napari, "run", lambda: None)

    code, told = ended("--live", path)
    assert code == 2
    assert "phase.method=none" in told
    assert ended("--live", path, "other.ome.zarr")[0] == 2
    assert "--live" in ended(path, "--set", "phase.method=none")[1]
    assert ended("--live", path, "--set", "phase.method=none")[0] == 0
    viewer = napari.current_viewer()
    # Words in the picture would lie beneath napari's welcome.
    assert not viewer.window._qt_viewer.show_welcome_screen
    until(lambda: len(viewer.layers) == 1)
    layer = viewer.layers[0]
    assert (layer.name, layer.data[0].shape) == ("discs.h5", (20, 64, 64))
    viewer.close()
