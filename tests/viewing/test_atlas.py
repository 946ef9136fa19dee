"""The panel Atlas in a real window, with a bucket on this machine, behind a server, and without."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.atlas.catalogue import load_catalogue
from hipct.atlas.listing import facts, search
from hipct.viewing.atlas_fetch import Watched
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

pytest.importorskip("hoa_tools", reason="hoa-tools is not installed")

BUCKET = "ucl-hip-ct-35a68e99feaae8932b1d44da0358940b"
TEMPLATE = "A186_lung_right_complete-organ_24.132um_bm18"
TURN_DEG = 25.0
SHIFT_VOXELS = (12.0, 20.0, 10.0)
"""Of the zoom's first voxel in the overview, x, y, z."""


class Quiet(SimpleHTTPRequestHandler):
    delay_s = 0.0

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        time.sleep(self.delay_s)
        super().do_GET()


def values(shape: tuple[int, ...], body: int) -> np.ndarray:
    """A body with a bright ball in its middle."""
    places = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2
    made = np.full(shape, body, np.uint16)
    made[np.linalg.norm(places, axis=-1) < min(shape) / 6] = 60000
    return made


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An overview and a zoom as OME-Zarr of a bucket, with descriptions like the atlas's own."""
    folder = tmp_path_factory.mktemp("bucket")
    (folder / "descriptions").mkdir()
    template = json.dumps(dict(load_catalogue()[TEMPLATE].description))
    for name, shape, size, body in (
        ("D1_organ_overview", (48, 60, 72), 20.0, 12000),
        ("D1_organ_zoom", (40, 44, 48), 8.0, 30000),
    ):
        where = folder / "mirror" / BUCKET / "D1" / name
        made = values(shape, body)
        write_pyramid(made, where, voxel_size_um=size, chunk=16, version="0.4")
        url = f"zarr://gs://{BUCKET}/D1/{name}/"
        description = json.loads(template) | {"name": name, "registration": None}
        description["donor"]["id"] = "D1"
        description["sample"]["organ"] = "spleen"
        description["data"] = {"shape": shape[::-1], "voxel_size_um": size, "gcs_url": url}
        if "zoom" in name:
            description |= {"dataset_type": "zoom", "voi": "VOI-01"}
            description["registration"] = {
                "source_dataset": name,
                "target_dataset": "D1_organ_overview",
                "translation": SHIFT_VOXELS,
                "rotation": TURN_DEG,
                "scale": 8.0 / 20.0,
            }
        (folder / "descriptions" / f"{name}.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="module")
def server(bucket: Path) -> Iterator[str]:
    """The bucket behind a server of this machine."""
    handler = partial(Quiet, directory=str(bucket / "mirror"))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(scope="module")
def window(screen: None) -> Iterator[Any]:
    """One window for all tests: opening it takes longer than they do."""
    import napari

    viewer = napari.Viewer(show=True)
    yield viewer
    viewer.layers.clear()  # with it ends what is still being fetched
    viewer.close()


@pytest.fixture
def panel(bucket: Path, server: str, window: Any, until: Any) -> Iterator[Any]:
    """The panel in the window, its descriptions read."""
    from hipct.viewing.atlas_browser import AtlasPanel

    made = AtlasPanel(window, [bucket / "descriptions"], mirror=server)
    dock = window.window.add_dock_widget(made, name="Atlas", area="right")
    assert made.busy
    until(lambda: not made.busy)
    yield made
    window.layers.clear()
    window.window.remove_dock_widget(dock)


def settle(panel: Any, until: Any) -> None:
    from tests.viewing.conftest import rest

    until(lambda: not panel.busy)
    rest(panel.session.viewer, lambda: panel.busy)


def open_set(panel: Any, name: str, until: Callable[..., None]) -> None:
    panel.sets.choose(name)
    panel.open()
    settle(panel, until)


def test_words_and_conditions_find_sets(bucket: Path) -> None:
    sets = load_catalogue(bucket / "descriptions").values()
    assert [one.name for one in search(sets, "d1 SPLEEN zoom")] == ["D1_organ_zoom"]
    assert [one.name for one in search(sets, "d1", kind="overview")] == ["D1_organ_overview"]
    assert search(sets, "d1", organ="heart") == []
    assert len(search(sets)) == len(sets)
    named = [one.name for one in search(sets, donor="D1", finest_um=8.0, coarsest_um=8.0)]
    assert named == ["D1_organ_zoom"]
    by_size = search(sets, organ="lung", coarsest_um=3.0)
    assert by_size == [o for o in sets if o.organ == "lung" and o.voxel_size_um <= 3.015]
    lines = facts(next(one for one in sets if one.name == "D1_organ_zoom"))
    assert lines[0] == "spleen, right, zoom VOI-01"
    assert lines[1] == "40 x 44 x 48 voxels of 8 um (z, y, x), 0.3 x 0.4 x 0.4 mm, 169.0 kB"
    assert "lies in D1_organ_overview" in lines


def test_a_watched_download_tells_and_stops() -> None:
    told: list[tuple[int, int]] = []
    watched = Watched(lambda *far: told.append(far))
    watched.start("download", 3)
    watched.advance("download", 2)
    watched.say("a sentence")
    watched.finish("download")
    assert told == [(0, 3), (2, 3), (2, 3)]
    assert watched.said == ["a sentence"]
    watched.stop()
    with pytest.raises(InterruptedError):
        watched.advance("download")


@pytest.mark.usefixtures("screen")
def test_sets_are_listed_and_narrowed(panel: Any) -> None:
    sets = panel.sets
    assert len(sets.names) == 378 + 2
    sets.words.setText("d1_organ")
    assert sorted(sets.names) == ["D1_organ_overview", "D1_organ_zoom"]
    assert sets.count.text() == "2 of 380 sets"
    sets.words.clear()
    sets.organ.setCurrentText("spleen")
    sets.kind.setCurrentText("zoom")
    assert "D1_organ_zoom" in sets.names
    assert all(panel.catalogue[name].organ == "spleen" for name in sets.names)
    sets.organ.setCurrentIndex(0)
    sets.coarsest.setValue(2.0)
    sizes = [panel.catalogue[name].voxel_size_um for name in sets.names]
    assert sizes
    assert max(sizes) <= 2.01
    sets.table.sortByColumn(3, sets.table.horizontalHeader().sortIndicatorOrder())
    sorted_sizes = [panel.catalogue[name].voxel_size_um for name in sets.names]
    assert sorted_sizes == sorted(sorted_sizes)
    sets.table.setCurrentCell(-1, -1)
    panel.open()
    assert panel.status.text() == "Choose a data set first."
    panel.open_overview()
    assert panel.status.text() == "What is chosen lies in no other one."


@pytest.mark.usefixtures("screen")
def test_a_zoom_opens_in_its_overview_and_a_crop_is_fetched(
    panel: Any, until: Any, photograph: Any, tmp_path: Path
) -> None:
    viewer = panel.session.viewer
    open_set(panel, "D1_organ_overview", until)
    assert "D1_organ_overview is open." in panel.status.text()
    open_set(panel, "D1_organ_zoom", until)
    assert "D1_organ_zoom lies in D1_organ_overview." in panel.status.text()
    assert [layer.name for layer in viewer.layers] == ["D1_organ_overview", "D1_organ_zoom"]
    for layer in viewer.layers:
        layer.contrast_limits = (0, 65535)
    # Where the description puts the middle of the zoom, by hand.
    z, y, x = 8.0 * (np.array((40, 44, 48)) - 1) / 2
    a = np.radians(TURN_DEG)
    turned = np.array([z, y * np.cos(a) - x * np.sin(a), y * np.sin(a) + x * np.cos(a)])
    world = turned + 20.0 * np.array(SHIFT_VOXELS[::-1])
    viewer.dims.set_point(0, world[0])
    viewer.scene.camera.center = (0, world[1] + 60, world[2] - 40)
    settle(panel, until)
    picture = photograph(viewer, tmp_path / "zoom.png").astype(int)
    found = np.argwhere(picture.min(axis=-1) > 200)
    shift = np.array([-60, 40]) * viewer.scene.camera.zoom
    wanted = np.array(picture.shape[:2]) / 2 - 0.5 + shift
    near = found[np.linalg.norm(found - wanted, axis=1) < 60 * viewer.scene.camera.zoom]
    assert len(near) > 300
    np.testing.assert_allclose(near.mean(axis=0), wanted, atol=4)
    # How much of the window the overview fills depends on how wide its panels are.
    assert ((abs(picture[..., 0] - 117) < 4).mean()) > 0.1

    # What is in view of the finest level, as a volume of one's own, in the same place.
    panel.crop.level.setCurrentIndex(0)
    panel.crop.deep.setValue(0.08)
    panel.crop.take_view()
    ends = [[float(end) for end in part.split(":")] for part in panel.crop.region.text().split(",")]
    assert ends[0][1] - ends[0][0] == pytest.approx(0.08, abs=1e-3)
    assert "voxels" in panel.crop.told.text()
    out = tmp_path / "crop.ome.zarr"
    panel.crop.fetch()
    assert "Open a set, choose a region, and say where" in panel.status.text()
    panel.crop.out.setText(str(out))
    panel.crop.fetch()
    assert panel.crop.fetching.text() == "Stop"
    settle(panel, until)
    assert f"{out} is whole." in panel.status.text()
    assert panel.crop.fetching.text() == "Fetch"
    crop = open_volume(out)
    first = np.rint(np.array(crop.levels[0].translation) / 8).astype(int)
    region = tuple(slice(f, f + n) for f, n in zip(first, crop.shape))
    np.testing.assert_array_equal(
        np.asarray(crop.levels[0].array[:]), values((40, 44, 48), 30000)[region]
    )
    viewer.layers["crop"].contrast_limits = (0, 65535)
    viewer.layers["D1_organ_zoom"].visible = False
    settle(panel, until)
    again = photograph(viewer, tmp_path / "crop.png").astype(int)
    near = np.argwhere(again.min(axis=-1) > 200)
    near = near[np.linalg.norm(near - wanted, axis=1) < 60 * viewer.scene.camera.zoom]
    np.testing.assert_allclose(near.mean(axis=0), wanted, atol=4)
    # Fetching the same again is refused in a sentence, and the window lives on.
    panel.crop.fetch()
    settle(panel, until)
    assert "exists already" in panel.status.text()
    viewer.window._qt_window.grab().save(str(tmp_path / "window.png"))


@pytest.mark.usefixtures("screen")
def test_without_a_network_it_says_so_and_lives_on(
    panel: Any, until: Any, photograph: Any, bucket: Path, monkeypatch: Any
) -> None:
    from hipct.volume.storage import Patience

    session = panel.session
    session._patience = Patience(timeout_s=0.3, attempts=2, pause_s=0.01)
    session._mirror, alive = "http://127.0.0.1:9", session._mirror
    panel.sets.choose("D1_organ_zoom")
    panel.open()
    # It has not been waited for.
    assert "Opening D1_organ_zoom" in panel.status.text()
    settle(panel, until)
    assert "could not be read" in panel.status.text()
    assert "127.0.0.1:9" in panel.status.text()
    assert len(session.viewer.layers) == 0
    # The network is back, and the window as well as the list work.
    session._mirror = alive
    open_set(panel, "D1_organ_zoom", until)
    assert photograph(session.viewer).max() > 100
    panel.open_overview()
    settle(panel, until)
    assert "D1_organ_overview lies in D1_organ_zoom." in panel.status.text()
    # Of another sample: alone, in its own coordinates.
    other = next(one for one in panel.catalogue if "heart" in one)
    monkeypatch.setattr(
        session, "open", lambda dataset: session_open(session, bucket, panel.catalogue[other])
    )
    panel.open(other)
    settle(panel, until)
    assert "No transform leads from" in panel.status.text()
    assert [layer.visible for layer in session.viewer.layers] == [False, False, True]


def session_open(session: Any, bucket: Path, dataset: Any) -> Any:
    """Some data set of another sample, with the voxels of the overview."""
    from dataclasses import replace

    from hipct.viewing.atlas_session import OpenSet, as_volume

    lying = load_catalogue(bucket / "descriptions")["D1_organ_overview"]
    from hipct.atlas.opening import open_set as open_atlas

    atlas = open_atlas(lying, mirror=str(bucket / "mirror"))
    atlas = replace(atlas, dataset=dataset)
    return OpenSet(dataset, atlas, as_volume(atlas))


@pytest.mark.usefixtures("screen")
def test_a_fetch_is_stopped_and_goes_on(
    panel: Any, until: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    open_set(panel, "D1_organ_overview", until)
    panel.crop.level.setCurrentIndex(0)
    panel.crop.region.setText(":,:,:")
    out = tmp_path / "all.ome.zarr"
    panel.crop.out.setText(str(out))
    monkeypatch.setattr(Quiet, "delay_s", 0.05)
    panel.crop.fetch()
    until(lambda: panel.crop.bar.value() > 2)
    panel.crop.fetch()
    settle(panel, until)
    assert "Stopped; what has come is kept" in panel.status.text()
    assert not out.exists()
    monkeypatch.setattr(Quiet, "delay_s", 0.0)
    panel.crop.fetch()
    settle(panel, until)
    assert "is whole" in panel.status.text()
    np.testing.assert_array_equal(
        np.asarray(open_volume(out).levels[0].array[:]), values((48, 60, 72), 12000)
    )


@pytest.mark.usefixtures("screen")
def test_names_are_opened_at_once(bucket: Path, server: str, until: Any) -> None:
    from hipct.viewing.atlas_browser import browse

    names = ("D1_organ_zoom", "D1_organ_overview")
    viewer = browse(*names, own=[bucket / "descriptions"], mirror=server, show=False)
    until(lambda: len(viewer.layers) == 2)
    assert [layer.name for layer in viewer.layers] == list(names)
    viewer.layers.clear()
    viewer.close()
