"""Every method of phase retrieval in a run: against truth, cut in any way, and refused in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr

import hipct.pipeline.plan
from hipct.acquisition.open_any import open_any
from hipct.core.errors import ConfigError, InputError
from hipct.pipeline.config import Config
from hipct.pipeline.distances import DistancesScan, with_distances
from hipct.pipeline.job import resolve
from hipct.pipeline.plan import make_plan
from hipct.pipeline.preparation import phase_filters
from hipct.pipeline.run import reconstruct
from hipct.simulation import Organ, load_truth, simulate_scan
from hipct.simulation.primitives import ellipsoid

COLUMNS, ROWS, ANGLES = 72, 40, 60
AXIS = (COLUMNS - 1) / 2 + 1.3
RATIO, BONE = 100.0, 30.0
ENERGY_KEV, PIXEL_UM = 30.0, 2.0
NEAR_M, FAR_M = 0.2, 0.35
WINDOW = (-20.0, 80.0)


def body(*, bone):
    """A ball of tissue with two others in it; of bone where asked for."""
    wavelength_cm = 12.398419843320026 / ENERGY_KEV * 1e-8
    tissue = 10.0
    per_mu = RATIO * wavelength_cm / (4 * np.pi)
    inner = BONE * wavelength_cm / (4 * np.pi) if bone else per_mu
    mu = 40.0 if bone else 8.0
    return Organ.of(
        ellipsoid((0, 0, 0), (46, 42, 60), mu=tissue, delta=tissue * per_mu),
        ellipsoid((16, 6, 5), (9, 9, 12), mu=mu, delta=mu * inner),
        ellipsoid((-14, -10, -9), (6, 8, 7), mu=mu, delta=mu * inner),
    )


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Scans of tissue, and of bone in tissue, at two distances."""
    folder = tmp_path_factory.mktemp("scans")
    common = {
        "acquisition": "full",
        "columns": COLUMNS,
        "rows": ROWS,
        "energy_kev": ENERGY_KEV,
        "pixel_size_um": PIXEL_UM,
        "noise": None,
        "drift": 0,
        "rings": 0,
        "flats": 2,
        "darks": 2,
        "axis": AXIS,
    }
    for name, distance, bone, angles in (
        ("near", NEAR_M, False, ANGLES),
        ("far", FAR_M, False, ANGLES),
        ("bone", NEAR_M, True, ANGLES),
        # Takes the place of another one, and is refused.
        ("far_bone", FAR_M, True, 3),
    ):
        common |= {"distance_m": distance, "organ": body(bone=bone), "angles": angles}
        simulate_scan(folder / f"{name}.zarr", **common)
    return folder


def config(memory="2 GB", **phase):
    return Config(
        phase={"delta_beta": RATIO, **phase},
        axis={"value": AXIS},
        volume={"window": WINDOW},
        reconstruction={"padding": "zero"},
        compute={"backend": "numpy", "memory": memory},
    )


def voxels(out):
    low, high = WINDOW
    grey = zarr.open_group(str(out), mode="r")["0"][:].astype(np.float64)
    return low + grey / 65535 * (high - low)


def rms(volume, truth):
    place = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    inside = np.hypot(place, place[:, None]) < 28
    return np.sqrt(np.mean((volume - truth)[6:-6, inside] ** 2))


@pytest.fixture(scope="module")
def found_plainly(scans, tmp_path_factory):
    """The truth, and the error of Paganin's filter."""
    truth = load_truth(scans / "near.zarr").volume()
    out = tmp_path_factory.mktemp("plain") / "o.ome.zarr"
    reconstruct(scans / "near.zarr", out, config())
    return truth, rms(voxels(out), truth)


@pytest.mark.parametrize(
    ("method", "others"),
    [
        ("ctf", []),
        ("ctf", ["far.zarr"]),
        ("ctf_homogeneous", []),
        ("ctf_homogeneous", ["far.zarr"]),
        ("nonlinear", []),
    ],
)
def test_a_run_finds_the_truth(scans, found_plainly, tmp_path, method, others):
    truth, plain = found_plainly
    # One step at each scale on samples as coarse as pixels suffices here, and is the quickest.
    given = {"method": method, "scans": [str(scans / name) for name in others]}
    given |= {"iterations": 1, "oversampling": 1}
    out = tmp_path / "o.ome.zarr"
    reconstruct(scans / "near.zarr", out, config(**given))
    found = voxels(out)
    assert found.shape == truth.shape
    # At the farther distance more is beyond what the linear theory knows of this body.
    assert rms(found, truth) < (1.2 if others else 1.0) * plain


def test_how_the_work_is_cut_changes_no_voxel(scans, tmp_path, monkeypatch):
    for number, phase in enumerate(
        (
            {"method": "ctf", "scans": [str(scans / "far.zarr")]},
            {"method": "multi_material", "second_delta_beta": BONE, "splice": [14, 24]},
        )
    ):
        found, cut = [], make_plan(scans / "bone.zarr", config(**phase)).cut
        for some in (cut, replace(cut, angle_block=7, slab_rows=5, stage_tile=True)):
            out = tmp_path / f"{number}-{some.slab_rows}.ome.zarr"
            with monkeypatch.context() as forced:
                forced.setattr(hipct.pipeline.plan, "cuts", lambda *_, s=some, **__: iter([s]))
                reconstruct(scans / "bone.zarr", out, config(**phase))
            found.append(voxels(out))
        assert np.array_equal(*found)


def test_bone_and_its_surroundings_are_those_of_its_own_ratio(scans, tmp_path):
    wanted = load_truth(scans / "bone.zarr").volume()
    given = {
        "tissue": {},
        "bone": {"delta_beta": BONE},
        "both": {"method": "multi_material", "second_delta_beta": BONE, "splice": [14, 24]},
    }
    found = {}
    for name, phase in given.items():
        reconstruct(scans / "bone.zarr", tmp_path / f"{name}.ome.zarr", config(**phase))
        found[name] = voxels(tmp_path / f"{name}.ome.zarr")
    errors = {name: rms(volume, wanted) for name, volume in found.items()}
    assert errors["both"] < min(errors["tissue"], errors["bone"]) / 2
    kept = found["tissue"] <= 13.9
    assert np.allclose(found["both"][kept], found["tissue"][kept], atol=4e-3)
    bone = found["tissue"] >= 24.1
    assert np.allclose(found["both"][bone], found["bone"][bone], atol=4e-3)


@pytest.mark.parametrize("method", ["ctf", "nonlinear", "multi_material"])
def test_a_plan_counts_what_the_method_takes(scans, method):
    phase = {"method": method}
    if method == "ctf":
        phase["scans"] = [str(scans / "far.zarr")]
    if method == "multi_material":
        phase |= {"second_delta_beta": BONE, "splice": [14, 24]}
    one = make_plan(scans / "near.zarr", config())
    plan = make_plan(scans / "near.zarr", config(**phase))
    assert plan.cut.angle_block == one.cut.angle_block
    stage = "flat field and phase"
    if method == "multi_material":
        lines = "line integrals of a tile"
        assert plan.memory[lines] == 2 * one.memory[lines]
        return
    filters = phase_filters(plan.job, ROWS, None, np)
    assert plan.memory[stage] >= one.memory[stage] + filters[0].memory_bytes(plan.cut.angle_block)
    images = 2 if method == "ctf" else 1
    assert plan.job.images == images
    assert plan.memory["flats and darks"] == images * one.memory["flats and darks"]


def test_a_resumed_run_has_the_same_scans(scans, tmp_path, monkeypatch):
    out, far = tmp_path / "o.ome.zarr", tmp_path / "far.zarr"
    (tmp_path / "far.zarr").symlink_to(scans / "far.zarr")
    asked = config(method="ctf", scans=[str(far)])

    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("hipct.pipeline.stream.write_bands", stops)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(scans / "near.zarr", out, asked)
    with open_any(scans / "near.zarr") as near:
        job = make_plan(scans / "near.zarr", asked).job
        decided = job.parameters(near)
        far.unlink()
        far.symlink_to(scans / "far_bone.zarr")
        # What is done for other parameters is refused by the ledger.
        assert job.parameters(near)["distances"] != decided["distances"]
    far.unlink()
    far.symlink_to(scans / "far.zarr")
    reconstruct(scans / "near.zarr", out, asked)
    fresh = tmp_path / "fresh.ome.zarr"
    reconstruct(scans / "near.zarr", fresh, asked)
    assert np.array_equal(voxels(out), voxels(fresh))


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ({"scans": ["x.zarr"]}, "which takes one distance"),
        ({"method": "nonlinear", "scans": ["x.zarr"]}, "which takes one distance"),
        ({"method": "multi_material"}, "needs phase.second_delta_beta and phase.splice"),
        ({"splice": [0, 1]}, "are for phase.method=multi_material"),
        (
            {"method": "multi_material", "second_delta_beta": 300, "splice": [1, 1]},
            "two numbers that differ",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(phase, words):
    with pytest.raises(ConfigError, match=words):
        Config(phase=phase)


def test_scans_that_do_not_go_together_are_refused(scans):
    with open_any(scans / "near.zarr") as near, open_any(scans / "far.zarr") as far:
        assert DistancesScan(near, [far]).distances_m == (NEAR_M, FAR_M)
        with pytest.raises(InputError, match="each needs one of its own"):
            DistancesScan(near, [near])
        given = config(method="ctf", scans=[str(scans / "far.zarr")])
        for section, values, words in (
            ("double_flat", {"enabled": True}, "double_flat.enabled is asked for"),
            ("motion", {"flag": True}, "motion.method is asked for"),
        ):
            asked = Config(**{**given.as_dict(), section: values})
            with pytest.raises(ConfigError, match=words):
                with_distances(near, asked)
        # What the configuration says holds for all scans, a distance for the first.
        asked = Config(
            **{
                **given.as_dict(),
                "scan": {"pixel_size_um": 2.5, "energy_kev": 31, "distance_m": 0.1},
            }
        )
        both = with_distances(near, asked)
        assert both.distances_m == (0.1, FAR_M)
        physics = resolve(both, asked).physics()
        assert (physics.pixel_size_um, physics.energy_kev) == (2.5, 31)
        assert physics.distances_m == (0.1, FAR_M)
        asked = Config(**{**given.as_dict(), "scan": {"distance_m": FAR_M}})
        with pytest.raises(InputError, match="each needs one of its own"):
            with_distances(near, asked)
        far.override(pixel_size_um=3.0)
        with pytest.raises(InputError, match=r"pixel_size_um 2\.0 and 3\.0.*not resampled"):
            DistancesScan(near, [far])


def test_the_device_gives_what_the_host_gives(scans, tmp_path, standin):
    assert standin
    found = []
    for backend in ("numpy", "cupy"):
        asked = config(method="multi_material", second_delta_beta=BONE, splice=[14, 24])
        compute = asked.compute.model_copy(update={"backend": backend})
        out = tmp_path / f"{backend}.ome.zarr"
        reconstruct(scans / "bone.zarr", out, asked.model_copy(update={"compute": compute}))
        found.append(voxels(out))
    assert np.abs(found[0] - found[1]).max() < 2.1 * (WINDOW[1] - WINDOW[0]) / 65535
