"""A small scan that nothing is wrong with, and the report of what a run makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from hipct.pipeline.config import Config
from hipct.pipeline.run import reconstruct
from hipct.quality.making import WorkLook
from hipct.simulation.scan import simulate_scan

GOOD = {
    "acquisition": "full",
    "columns": 192,
    "rows": 16,
    "angles": 400,
    "pixel_size_um": 20.0,
    "distance_m": 4.0,
    "noise": 8_000.0,
    "rings": 0.0,
    "flats": 120,
    "oversampling": 4,
    "seed": 7,
}
SETTINGS = {"motion": {"flag": True}}


def simulated(path, **changes):
    """A scan store like the good one but for some changes."""
    return simulate_scan(path, **(GOOD | changes))


def reported(scan, out, settings=None):
    """Result and report of a run."""
    look = WorkLook()
    config = Config(**(SETTINGS | (settings or {})))
    result = reconstruct(scan, out, config, before_delivery=look)
    return result, look.report(result.path)


@pytest.fixture(scope="session")
def good_scan(tmp_path_factory):
    """Path of a scan that nothing is wrong with."""
    return simulated(tmp_path_factory.mktemp("good") / "scan.zarr")


@pytest.fixture(scope="session")
def good(good_scan):
    """Result and report of a run that nothing is wrong with."""
    return reported(good_scan, good_scan.with_name("organ.ome.zarr"))


@pytest.fixture
def lights():
    """Lights of a report by figure, without those that have none."""

    def of(report):
        return {each.key: each.light for each in report.figures if each.light != "grey"}

    return of


@pytest.fixture
def run():
    """:func:`simulated` and :func:`reported`."""
    return simulated, reported


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def plain_volume():
    """Writes voxels as an OME-Zarr volume that does not say how it was made; gives its path."""

    def write(path, voxels, chunks=(16, 48, 48)):
        group = zarr.open_group(path, mode="w", zarr_format=3)
        group.create_array("0", data=voxels, chunks=chunks)
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{
                "axes": [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"],
                "datasets": [{
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [5.0, 5.0, 5.0]}],
                }],
            }],
        }  # fmt: skip
        return path

    return write
