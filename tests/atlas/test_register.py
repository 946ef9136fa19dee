"""Zooms of simulated hierarchies: the right place is found, a wrong one is called uncertain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.register import errors_of
from benchmarks.register_data import OVERVIEW_UM, Grey, hierarchy
from hipct.atlas.register import confidence_of, register_zoom
from hipct.atlas.register_store import place_record, store_place
from hipct.core.errors import InputError
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

SMALL = {"shape": (44, 56, 56), "extent": (26, 34), "noise": 0.1}


@pytest.fixture(scope="module")
def pair():
    """Factors 6 and 17; the second zoom is of other tissue, and shows it by other greys."""
    grey = Grey(cupping=0.8, gain=1.6, gamma=0.75, rings=0.2)
    return hierarchy(3, factor=6.0, **SMALL), hierarchy(4, factor=17.0, grey=grey, **SMALL)


@pytest.fixture(scope="module")
def places(pair):
    return [register_zoom(made.zoom, made.overview) for made in pair]


@pytest.mark.parametrize("number", [0, 1])
def test_a_zoom_is_found_from_no_start_at_all(pair, places, number):
    made, place = pair[number], places[number]
    position_px, scale, _ = errors_of(made, place)
    assert place.found
    assert position_px < 0.2
    assert scale < 5e-4
    assert abs((place.place.angle_deg - made.angle_deg + 180) % 360 - 180) < 0.2
    assert place.place.tilt_deg == pytest.approx(made.tilt_deg, abs=0.2)


@pytest.mark.parametrize("number", [0, 1])
def test_errors_are_of_the_size_that_is_claimed(pair, places, number):
    made, place = pair[number], places[number]
    assert abs(place.place.scale / made.truth.scale - 1) < 5 * place.scale_error < 5e-3
    apart = np.abs(place.place.position - made.truth.position)
    assert (apart < 6 * place.position_error_um).all()
    assert np.linalg.norm(place.position_error_um) < 0.1 * OVERVIEW_UM


def test_the_record_takes_the_zoom_into_the_overview(pair, places):
    record = places[0].describe()
    corner = np.array([100.0, 200.0, -50.0])
    moved = record["scale"] * np.array(record["rotation"]) @ corner + record["translation"]
    np.testing.assert_allclose(moved, pair[0].truth.apply(corner), atol=0.3 * OVERVIEW_UM)
    assert record["result"] == "found"


def test_a_zoom_of_another_sample_is_uncertain(pair):
    place = register_zoom(pair[0].zoom, pair[1].overview)
    assert not place.found
    assert place.confidence < 0.05
    assert place.describe()["result"] == "uncertain"


def test_a_rough_start_is_enough_and_its_neighbourhood_alone_is_searched(pair):
    made = pair[0]
    start = made.truth.position + np.array([100.0, -160.0, 120.0])
    near = register_zoom(
        made.zoom, made.overview, start_um=start, rotation_deg=made.angle_deg + 8, scale=1.005
    )
    assert near.found
    assert errors_of(made, near)[0] < 0.2
    turned = register_zoom(
        made.zoom, made.overview, start_um=start, rotation_deg=made.angle_deg + 90
    )
    assert not turned.found


def test_a_place_is_stored_in_either_version(places, tmp_path):
    for version in ("0.4", "0.5"):
        path = tmp_path / f"{version}.ome.zarr"
        options = {"version": version, "consolidated": True}
        write_pyramid(np.zeros((4, 4, 4), "u2"), path, voxel_size_um=5.0, **options)
        volume = open_volume(path)
        store_place(places[0], volume, volume)
        stored = open_volume(path).provenance["placed_in"]
        assert stored == place_record(places[0], volume, volume)
        assert not [f for f in check_volume(path) if f.severity == "error"]
    away = replace(volume, address="s3://bucket/zoom.ome.zarr")
    with pytest.raises(InputError, match="lies on a server"):
        store_place(places[0], away, volume)


def test_one_of_two_places_that_look_alike_is_uncertain():
    """But for a tenth of the tissue, half a turn about the middle changes nothing."""
    made = hierarchy(900, kind="symmetric", factor=8.0, **SMALL)
    place = register_zoom(made.zoom, made.overview)
    assert not place.found
    assert place.lead < 0.1
    assert place.share > 0.9


def test_what_cannot_be_compared_is_refused(pair):
    made = pair[0]
    with pytest.raises(InputError, match="holds labels"):
        register_zoom(replace(made.zoom, labels=True), made.overview)
    nothing = replace(
        made.overview, levels=(replace(made.overview.levels[0], array=np.zeros((0, 9, 9))),)
    )
    with pytest.raises(InputError, match="has no voxels"):
        register_zoom(made.zoom, nothing)
    coarse = [replace(level, scale=tuple(4 * s for s in level.scale)) for level in made.zoom.levels]
    with pytest.raises(InputError, match="larger than those of its overview, 20 um"):
        register_zoom(replace(made.zoom, levels=tuple(coarse)), made.overview)
    unknown = replace(made.zoom, length_unit="voxel")
    with pytest.raises(InputError, match="how large its voxels are"):
        register_zoom(unknown, made.overview)
    with pytest.raises(InputError, match="give the zoom first"):
        register_zoom(made.overview, made.zoom)
    with pytest.raises(InputError, match="outside of the overview"):
        register_zoom(made.zoom, made.overview, start_um=(1e6, 0, 0))
    with pytest.raises(InputError, match="The scale is 0"):
        register_zoom(made.zoom, made.overview, scale=0)
    tiny = replace(
        made.zoom,
        levels=tuple(
            replace(level, scale=tuple(s / 8 for s in level.scale)) for level in made.zoom.levels
        ),
    )
    with pytest.raises(InputError, match="too few voxels"):
        register_zoom(tiny, made.overview)
    flat = replace(
        made.overview,
        levels=tuple(
            replace(level, array=np.full_like(level.array, 7)) for level in made.overview.levels
        ),
    )
    with pytest.raises(InputError, match="does not vary"):
        register_zoom(made.zoom, flat)


def test_confidence_needs_both_parts_and_lead():
    assert confidence_of(1.0, 0.7) > 0.99
    assert confidence_of(1.0, 0.0) < 0.99
    assert confidence_of(0.2, 0.8) < 0.99
    assert confidence_of(0.0, 0.3) < 0.05
