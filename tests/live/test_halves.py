"""Slices of even and of odd views against scans whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.live.halves import halves
from hipct.live.scan import LiveScan
from hipct.pipeline.config import Config
from hipct.simulation import simulate_scan, simulate_series

Z = 4
SCAN = {"acquisition": "full", "columns": 96, "rows": 8, "angles": 160, "seed": 2}
PLAIN = {"drift": 0.0, "rings": 0.0, "flats": 60, "propagation": False, "delta_beta": 0.0}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """The same scan without noise, with many photons and with few, and its axis given."""
    folder = tmp_path_factory.mktemp("scans")
    made = {
        name: simulate_scan(folder / f"{name}.zarr", **SCAN, **PLAIN, noise=noise, axis=47.5)
        for name, noise in (("clean", None), ("many", 1e6), ("few", 1e4))
    }
    config = Config(phase={"method": "none"}, axis={"value": 47.5})
    opened = {name: LiveScan(path, config) for name, path in made.items()}
    yield opened
    for live in opened.values():
        live.close()


def test_the_noise_is_that_of_the_slice_of_all_views(scans):
    told = halves(scans["few"], Z)
    middle = (slice(24, 72),) * 2
    difference = (scans["few"].slice(Z).astype(float) - scans["clean"].slice(Z))[middle]
    assert told.noise == pytest.approx(difference.std(), rel=0.1)
    mean = (told.even.astype(float) + told.odd) / 2
    np.testing.assert_allclose(mean, scans["few"].slice(Z), atol=0.02 * difference.std())


def test_more_photons_tell_finer_detail(scans):
    many, few = halves(scans["many"], Z), halves(scans["few"], Z)
    assert few.noise / many.noise == pytest.approx(10, rel=0.15)
    assert many.period_um is not None
    assert few.period_um is None or few.period_um > 1.5 * many.period_um
    assert many.period_um == many.resolution.pixels * 20.0
    assert many.power.frequency[-1] == pytest.approx(0.5 / 20.0)
    # What is left of white noise after the ramp grows with the frequency.
    assert few.power.power[-8:].mean() > 2 * few.power.power[:4].mean()


def test_what_cannot_be_compared_is_refused_with_a_sentence(scans, tmp_path):
    with pytest.raises(InputError, match="there are 0 to 7"):
        halves(scans["clean"], 8)
    two = {"method": "multi_material", "delta_beta": 1000, "second_delta_beta": 300}
    config = Config(
        phase={**two, "splice": [0.24, 0.4]}, scan={"distance_m": 0.1}, axis={"value": 47.5}
    )
    with pytest.raises(InputError, match="multi_material"):
        halves(scans["clean"].with_config(config), Z)
    series = simulate_series(
        tmp_path / "series", sub_scans=2, columns=64, rows=24, angles=32, overlap=0.5, noise=None
    )
    fixed = Config(phase={"method": "none"}, axis={"value": 50.0})
    with LiveScan(series, fixed) as live, pytest.raises(InputError, match="series of 2"):
        halves(live, 3)
