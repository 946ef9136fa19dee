"""Every command on a small scan, from the file to the volume."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hipct.acquisition.open import open_scan
from hipct.pipeline.config_docs import config_markdown, config_template
from hipct.volume.open import open_volume

Hipct = Callable[..., object]
PLAIN = ("--set", "phase.method=none")
PIXEL = ("--set", "scan.pixel_size_um=20")


@pytest.fixture(scope="session")
def volume(scan_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume of the scan, made once by the command."""
    from hipct.cli.main import main

    out = tmp_path_factory.mktemp("volume") / "cylinder.ome.zarr"
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", str(scan_file), "-o", str(out), *PLAIN, *PIXEL])
    assert ended.value.code == 0
    return out


def test_import_copies_a_scan_and_refuses_to_do_it_twice(
    hipct: Hipct, scan_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scan.zarr"
    ended = hipct("import", scan_file, out)
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == (
        f"{out}: 90 projections of 20 x 50 pixels, 5 flats, 5 darks"
    )
    with open_scan(scan_file) as source, open_scan(out) as store:
        np.testing.assert_array_equal(
            store.read_projections(slice(0, 90), slice(0, 20)),
            source.read_projections(slice(0, 90), slice(0, 20)),
        )
    again = hipct("import", scan_file, out)
    assert again.code == 2
    assert again.err.startswith(f"hipct: {out} exists already")
    assert hipct("import", scan_file, out, "--overwrite").code == 0


def test_import_takes_other_angles(hipct: Hipct, scan_file: Path, tmp_path: Path) -> None:
    assert hipct("import", scan_file, tmp_path / "s.zarr", "--angles", "0:360:exclusive").code == 0
    with open_scan(tmp_path / "s.zarr") as store:
        np.testing.assert_allclose(np.rad2deg(store.info.angles_rad), np.arange(90) * 4.0)
    wrong = hipct("import", scan_file, tmp_path / "t.zarr", "--angles", "all")
    assert wrong.code == 2
    assert "The angles 'all' are not start:stop" in wrong.err
    assert not (tmp_path / "t.zarr").exists()


def test_inspect_tells_what_is_there_and_what_is_missing(hipct: Hipct, scan_file: Path) -> None:
    lines = hipct("inspect", scan_file).out.splitlines()
    words = dict(line.split(maxsplit=1) for line in lines)
    assert words["projections"] == "90"
    assert words["columns"] == "50"
    assert words["dtype"] == "uint16"
    assert "energy_kev" not in words
    assert any("the photon energy: --set scan.energy_kev=" in line for line in lines)
    facts = json.loads(hipct("inspect", scan_file, "--json").out)
    assert facts["angular_step_deg"] == 2.0
    assert "pixel_size_um" in facts["missing"]


def test_inspect_tells_what_a_volume_is_and_how_it_was_made(hipct: Hipct, volume: Path) -> None:
    out = hipct("inspect", volume).out
    assert "20 x 50 x 50 voxels" in out
    assert "OME-Zarr 0.5, uint16" in out
    facts = json.loads(hipct("inspect", volume, "--json").out)
    provenance = facts["provenance"]
    assert provenance["config"]["phase"]["method"] == "none"
    assert provenance["estimates"]["axis_px"] == pytest.approx(24.4, abs=0.1)
    assert set(provenance["versions"]) >= {"hipct", "numpy", "zarr", "python"}


def test_axis_is_found(hipct: Hipct, scan_file: Path) -> None:
    ended = hipct("axis", scan_file)
    assert ended.code == 0
    column = float(ended.out.splitlines()[0].split()[1])
    assert column == pytest.approx(24.4, abs=0.1)
    assert ended.out.splitlines()[-1] == f"to use it    --set axis.value={column:g}"
    found = json.loads(hipct("axis", scan_file, "--json").out)
    assert found["axis_px"] == pytest.approx(24.4, abs=0.1)
    assert set(found) == {"axis_px", "method", "confidence"}


def test_axis_sweep_writes_a_stack_and_a_picture(
    hipct: Hipct, scan_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "axis.tif"
    ended = hipct(
        "axis", scan_file, *PLAIN, "--sweep", out, "--values", 23.4, 25.4, 0.5, "--row", 3
    )
    assert ended.code == 0, ended.err
    with tifffile.TiffFile(out) as file:
        assert file.imagej_metadata["Labels"] == [
            f"axis {value:.2f}" for value in (23.4, 23.9, 24.4, 24.9, 25.4)
        ]
        assert len(file.pages) == 5
    assert (tmp_path / "axis.png").is_file()
    words = dict(line.split() for line in ended.out.splitlines())
    assert words == {"row": "3", "stack": str(out), "picture": str(tmp_path / "axis.png")}
    again = hipct("axis", scan_file, *PLAIN, "--sweep", out)
    assert (again.code, again.err.count("\n")) == (2, 1), "refused before the search"
    around = hipct("axis", scan_file, *PLAIN, "--sweep", out, "--overwrite")
    assert around.code == 0, around.err
    with tifffile.TiffFile(out) as file:
        assert len(file.pages) == 21


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--row", "3"), "--values, --row and --overwrite belong to --sweep."),
        (("--sweep", "a.tif", "--values", "3", "1", "1"), "LAST has to lie above FIRST"),
        (("--sweep", "a.tif", "--values", "0", "9", "0"), "STEP has to be above 0"),
        (("--sweep", "a.tif", "--values", "0", "9", "nan"), "STEP has to be above 0"),
    ],
)
def test_axis_refuses_a_sweep_that_makes_no_sense(
    hipct: Hipct, scan_file: Path, words: tuple[str, ...], sentence: str
) -> None:
    ended = hipct("axis", scan_file, *words)
    assert ended.code == 2
    assert sentence in ended.err
    assert ended.err.count("\n") == 1


def test_plan_prints_the_budget_and_refuses_what_cannot_fit(hipct: Hipct, scan_file: Path) -> None:
    ended = hipct("plan", scan_file, *PLAIN, "--memory", "3GB")
    assert ended.code == 0
    assert "90 projections of 20 x 50 pixels" in ended.out
    assert "of 3.0 GB" in ended.out
    plan = json.loads(hipct("plan", scan_file, *PLAIN, "--memory", "3GB", "--json").out)
    assert plan["budget_bytes"] == 3 * 10**9
    assert plan["volume_shape"] == [20, 50, 50]
    assert 0 < plan["peak_bytes"] <= plan["budget_bytes"]
    refused = hipct("plan", scan_file, *PLAIN, "--memory", "1MB")
    assert refused.code == 2
    assert refused.out == ""
    assert "the largest stage is '" in refused.err.replace("The largest", "the largest")
    assert "--memory" in refused.err


def test_what_a_step_needs_is_asked_for_by_name(
    hipct: Hipct, scan_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.ome.zarr"
    ended = hipct("reconstruct", scan_file, "-o", out)
    assert ended.code == 2
    for name in ("energy_kev", "distance_m", "pixel_size_um"):
        assert f"--set scan.{name}=" in ended.err
    assert "phase.method=none" in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_scan_becomes_a_volume(volume: Path) -> None:
    opened = open_volume(volume)
    assert opened.shape == (20, 50, 50)
    # Every slice is the cylinder: its mu inside, and 0 in the hole (8 right, 3 down of the axis).
    slices = opened.physical(0)
    assert opened.unit == "1/cm"
    body = slices[:, 22:28, 8:15]
    assert body.mean() == pytest.approx(0.02 / 20e-4, rel=0.01)
    assert abs(slices[:, 25:30, 31:35].mean()) < 0.5
    beside = sorted(path.name for path in volume.parent.iterdir())
    assert beside == [
        "cylinder.ome.zarr",
        "cylinder.preview.png",
        "cylinder.quality.html",
        "cylinder.quality.json",
        "cylinder.report.json",
    ]


def test_settings_reach_the_volume_in_their_order(
    hipct: Hipct, scan_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "phase: {method: none}\n"
        "scan: {first_row: 4, last_row: 9}\n"
        "volume: {window: [0, 0.01], chunk: 64}\n"
        "compute: {backend: cupy, memory: 1MB}\n",
        encoding="utf-8",
    )
    out = tmp_path / "o.ome.zarr"
    ended = hipct(
        "reconstruct", scan_file, "-o", out, "--config", tmp_path / "mine.yaml",
        "--set", "volume.window=-0.01,0.05", "--set", "axis.value=24.5",
        "--backend", "numpy", "--memory", "3GB",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "column 24.50" in ended.out
    assert f"hipct view {out}" in ended.out
    opened = open_volume(out)
    assert opened.shape[0] == 5
    assert opened.offset == pytest.approx(-0.01)
    assert opened.provenance["config"]["volume"]["chunk"] == 64
    assert opened.provenance["config"]["axis"]["value"] == 24.5
    again = hipct("reconstruct", scan_file, "-o", out, *PLAIN)
    assert again.code == 2
    assert again.err.startswith(f"hipct: {out} exists already")


def test_check_passes_a_good_volume_and_names_what_is_wrong(
    hipct: Hipct, volume: Path, scan_file: Path, tmp_path: Path
) -> None:
    good = hipct("check", volume)
    assert (good.code, good.out) == (0, f"{volume}: good\n")
    assert hipct("check", volume, "--deep").code == 0
    broken = tmp_path / "broken.ome.zarr"
    shutil.copytree(volume, broken)
    (shard,) = (broken / "0" / "c").rglob("0/0/0")
    shard.write_bytes(shard.read_bytes()[:-20])
    bad = hipct("check", broken)
    assert bad.code == 1
    assert bad.out.startswith("error: ")
    assert bad.out.splitlines()[-1].startswith(f"{broken}: 1 error, 0 warnings")
    findings = json.loads(hipct("check", broken, "--json").out)
    assert findings[0]["severity"] == "error"
    none = hipct("check", scan_file)
    assert none.code == 2
    assert none.err.count("\n") == 1


def test_simulate_writes_a_scan_with_truth(hipct: Hipct, tmp_path: Path) -> None:
    from hipct.simulation.truth import load_truth

    out = tmp_path / "s.zarr"
    ended = hipct(
        "simulate", out, "--acquisition", "full", "--columns", 48, "--rows", 8, "--angles", 12,
        "--distance", 0, "--noise", 0, "--pixel", 30, "--seed", 3,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.out == f"{out}: 12 projections of 8 x 48 pixels, full acquisition\n"
    setup = load_truth(out).setup
    assert (setup.acquisition, setup.rows, setup.columns, setup.seed) == ("full", 8, 48, 3)
    assert (setup.pixel_size_um, setup.distance_m) == (30.0, 0.0)
    wrong = hipct("simulate", tmp_path / "t.zarr", "--columns", -5)
    assert wrong.code == 2
    assert not (tmp_path / "t.zarr").exists()


def test_config_prints_template_page_and_presets(hipct: Hipct) -> None:
    assert hipct("config").out == config_template()
    assert hipct("config", "--docs").out == config_markdown()
    assert hipct("config", "bm18").out.startswith("# HiP-CT scans from ESRF's BM18.")


def test_view_hands_the_volume_over(
    hipct: Hipct, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hipct.viewing.window as viewing

    shown = []
    monkeypatch.setattr(viewing, "view", lambda *given, **options: shown.append((given, options)))
    assert hipct("view", volume, volume, "--bookmarks", "mine.json").code == 0
    ((given, options),) = shown
    assert list(map(str, given)) == [str(volume), str(volume)]
    assert options == {"found": (), "bookmarks": Path("mine.json")}


def test_view_without_napari_says_what_to_install(
    hipct: Hipct, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "napari", None)
    ended = hipct("view", volume)
    assert ended.code == 2
    assert "pip install 'hipct[viewer]'" in ended.err
