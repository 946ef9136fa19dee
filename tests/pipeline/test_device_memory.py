"""Device memory: what is planned is enough and not far too much; what fails becomes a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import DeviceError
from hipct.core.progress import Silent
from hipct.phase.unsharp import unsharp, unsharp_work_bytes
from hipct.pipeline.backend import run_device
from hipct.pipeline.config import Config
from hipct.pipeline.plan import make_plan
from hipct.pipeline.run import reconstruct
from hipct.pipeline.sweep import find_scan_axis
from hipct.preparation.flat import FlatField

AXIS = {"value": 24.0}
CUPY = {"backend": "cupy"}


@pytest.fixture
def peak(standin):
    """Bytes that a call takes at its peak, beside what is there already."""
    pool = standin.get_default_memory_pool()

    def measure(call):
        pool._peak.clear()
        before = pool.used_bytes()
        kept = call()
        assert kept is not None
        return pool._peak[0] - before

    return measure


def test_a_window_that_is_found_stays_inside_of_the_plan(tmp_path, discs, peak):
    config = Config(
        phase={"method": "none"}, axis=AXIS, volume={"chunk": 32, "scout_slices": 2}, compute=CUPY
    )
    scan = discs(rows=20)
    plan = make_plan(scan, config)
    taken = peak(lambda: reconstruct(scan, tmp_path / "v.ome.zarr", config))
    assert taken <= plan.device_peak_bytes


@pytest.mark.parametrize("method", ["gaussian", "log"])
def test_an_unsharp_mask_alone_takes_what_is_planned(standin, peak, method):
    images = standin.asarray(np.ones((7, 60, 50), np.float32))
    taken = peak(lambda: unsharp(images, sigma_px=2.0, strength=3.0, method=method))
    planned = images.nbytes + unsharp_work_bytes(7, 4 * 60 * 50)
    assert 0.7 * planned <= taken <= planned + 4096


@pytest.mark.parametrize("groups", [1, 5])
def test_flats_and_darks_take_what_is_planned(standin, discs, peak, groups):
    scan = discs(rows=70)
    rng = np.random.default_rng(0)
    flats = rng.integers(900, 1100, (20, 70, 48)).astype(np.uint16)
    darks = rng.integers(90, 110, (10, 70, 48)).astype(np.uint16)
    index = np.arange(20) + 100.0 * (np.arange(20) * groups // 20)
    scan.frames |= {"flats": flats, "darks": darks}
    scan.info = scan.info.__class__(
        **{
            name: getattr(scan.info, name)
            for name in ("projections", "rows", "columns", "dtype", "angles_rad", "source")
        },
        format="memory",
        flat_index=index,
        dark_index=np.arange(10) - 50.0,
    )
    config = Config(phase={"method": "none"}, axis=AXIS, compute=CUPY)
    planned = make_plan(scan, config).device_memory["flats and darks"]
    taken = peak(
        lambda: FlatField.from_frames(
            standin.asarray(flats), standin.asarray(darks), flat_index=index
        )
    )
    assert taken <= planned <= 3 * taken


def test_no_slab_is_planned_higher_than_the_volume(standin, discs):
    config = Config(phase={"method": "none"}, axis=AXIS, scan={"last_row": 3}, compute=CUPY)
    plan = make_plan(discs(), config)
    assert plan.cut.slab_rows == 3
    assert plan.device == "Stand-in"
    assert standin.get_default_memory_pool().get_limit() == 0


def test_a_search_for_the_axis_that_runs_out_of_memory_is_told(
    tmp_path, discs, standin, monkeypatch
):
    config = Config(phase={"method": "none"}, compute={"device_memory": "20kB", "backend": "cupy"})
    sentence = r"Stand-in ran out of memory .*; give more of it with --device-memory"
    with pytest.raises(DeviceError, match=sentence):
        find_scan_axis(discs(), config)
    with pytest.raises(DeviceError, match=sentence):
        reconstruct(discs(), tmp_path / "v.ome.zarr", config)

    def lost(*_, **__):
        raise standin.cuda.runtime.CUDARuntimeError(700)

    monkeypatch.setattr("hipct.pipeline.sweep.estimate_axis", lost)
    with pytest.raises(DeviceError, match=r"Stand-in failed \(cudaError 700\); see what nvidia-sm"):
        find_scan_axis(discs(), Config(phase={"method": "none"}, compute=CUPY))


def test_whoever_calls_keeps_the_limit_of_the_pool(standin):
    pool = standin.get_default_memory_pool()
    taken = pool.used_bytes()
    pool.set_limit(size=taken + 5_000_000)
    try:
        config = Config(compute={"backend": "cupy", "device_memory": "1MB"})
        with run_device(config, Silent()) as device:
            assert pool.get_limit() == device.budget_bytes == 1_000_000
        assert pool.get_limit() == taken + 5_000_000
        # Memory of the host that runs out is another matter.
        with pytest.raises(MemoryError, match="host"), run_device(config, Silent()):
            raise MemoryError("host")
    finally:
        pool.set_limit(size=0)


@pytest.mark.usefixtures("standin")
def test_a_volume_says_what_has_computed_it(tmp_path, discs):
    config = {"phase": {"method": "none"}, "axis": AXIS, "volume": {"window": [-20.0, 60.0]}}
    for backend, device in (("cupy", "Stand-in"), ("numpy", "CPU")):
        made = reconstruct(
            discs(rows=3), tmp_path / backend, Config(**config, compute={"backend": backend})
        )
        assert made.provenance["computed_by"] == {"backend": backend, "device": device}
        assert made.provenance["versions"].get("cupy") == ("14.2.0" if device != "CPU" else None)
