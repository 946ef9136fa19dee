"""Settings tuned on a slice: knobs, figures, sweeps, and a configuration that a run takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hipct.acquisition.open import open_scan
from hipct.core.errors import ConfigError, InputError, MissingMetadata, OutputError
from hipct.core.progress import Silent
from hipct.live import comparison
from hipct.live.cancel import Cancelled
from hipct.live.comparison import compare
from hipct.live.frame import Frame
from hipct.live.keep import config_text
from hipct.live.knobs import Knob, knob_of, tissue_delta_beta
from hipct.live.scan import LiveScan
from hipct.live.sweep import sweep
from hipct.live.tuning import Tuning, open_tunable
from hipct.phase.convert import soft_tissue_delta_beta
from hipct.pipeline.config import Config
from hipct.pipeline.config_io import load_config, parse_config
from hipct.pipeline.run import reconstruct
from hipct.simulation.scan import simulate_scan
from hipct.volume.open import open_volume

TRUE_RATIO, Z = 1500.0, 30


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return simulate_scan(
        tmp_path_factory.mktemp("tuning") / "scan.zarr",
        columns=160,
        rows=64,
        angles=256,
        distance_m=12.0,
        delta_beta=TRUE_RATIO,
        noise=20_000.0,
        seed=3,
    )


@pytest.fixture(scope="module")
def tuning(scan):
    with LiveScan(scan) as live:
        yield Tuning(live)


def test_knobs_start_where_the_scan_is(tuning):
    values = tuning.values
    assert values["scan.energy_kev"] == 90
    assert values["scan.distance_m"] == 12
    assert values["phase.delta_beta"] == pytest.approx(soft_tissue_delta_beta(90))
    assert values["axis.value"] == tuning.live.axis_px
    ratio = knob_of(tuning.knobs, "phase.delta_beta")
    assert ratio.scale == "logarithmic"
    assert knob_of(tuning.knobs, "scan.distance_m").text(12.0) == "12 m"
    for knob in tuning.knobs:
        if knob.scale != "choice" and values[knob.key] is not None:
            assert knob.low <= values[knob.key] <= knob.high
            assert knob.at(knob.place(values[knob.key])) == pytest.approx(
                values[knob.key], rel=1e-3, abs=knob.step / 2
            )
        # Every place of a slider, and every choice, is a value that a run would take.
        for value in knob.options or (knob.at(place) for place in (0, 0.31, 0.5, 0.77, 1)):
            tuning.changed({knob.key: value})


def test_the_ratio_stays_where_its_knob_is_when_the_energy_moves(tuning):
    moved = tuning.changed({"scan.energy_kev": 110.0})
    assert moved.config.phase.delta_beta == tuning.values["phase.delta_beta"]
    assert tuning.config.phase.delta_beta is None
    assert tissue_delta_beta(moved.values["scan.energy_kev"]) == pytest.approx(1282)
    assert tissue_delta_beta(40.0) is None
    assert tissue_delta_beta(None) is None


def test_knobs_know_when_they_do_nothing(tuning):
    values = tuning.changed({"rings.method": "wavelet"}).values
    used = {knob.key for knob in tuning.knobs if knob.used(values)}
    assert {"rings.levels", "rings.sigma", "phase.delta_beta"} <= used
    assert not {"rings.size_px", "rings.alpha", "unsharp.sigma_px"} & used
    plain = tuning.changed({"phase.method": "none"})
    assert not knob_of(plain.knobs, "scan.distance_m").used(plain.values)


def test_methods_bring_their_own_knobs(tuning, scan):
    values = tuning.changed({"phase.method": "ctf_homogeneous"}).values
    used = {knob.key for knob in tuning.knobs if knob.used(values)}
    assert "phase.regularisation" in used
    assert "phase.iterations" not in used
    # Two materials need settings that no slider starts from.
    assert "multi_material" not in knob_of(tuning.knobs, "phase.method").options
    phase = {"method": "multi_material", "second_delta_beta": 300, "splice": (0.4, 0.8)}
    with LiveScan(scan, Config(phase=phase)) as live:
        two = Tuning(live)
        assert knob_of(two.knobs, "phase.method").options == ("multi_material",)
        assert knob_of(two.knobs, "phase.second_delta_beta").value == 300
        assert two.changed({"phase.second_delta_beta": 400.0}).config.phase.splice == (0.4, 0.8)


def test_unused_knobs_change_no_voxel(tuning):
    plain = tuning.slice(Z)
    values = tuning.values
    for knob in tuning.knobs:
        if not knob.used(values) and knob.scale != "choice":
            np.testing.assert_array_equal(
                tuning.changed({knob.key: knob.at(0.8)}).slice(Z), plain, err_msg=knob.key
            )


def test_what_is_set_back_is_unchanged(tuning):
    other = tuning.changed({"phase.delta_beta": 800.0, "rings.method": "sorting"})
    assert other.changes == {"phase.delta_beta": 800.0, "rings.method": "sorting"}
    assert not np.allclose(other.slice(Z), tuning.slice(Z), atol=1e-3)
    back = other.changed({key: knob_of(tuning.knobs, key).value for key in other.changes})
    assert back.changes == other.start.changes == {}
    np.testing.assert_array_equal(back.slice(Z), tuning.slice(Z))
    assert tuning.changes == {}


def test_the_halo_passes_zero_at_the_true_ratio(tuning):
    ratios = [300.0, 700.0, TRUE_RATIO, 3500.0, 8000.0]
    found = sweep(tuning, "phase.delta_beta", ratios, z=Z)
    halo = [each.halo for each in found.figures]
    assert halo == sorted(halo, reverse=True)
    assert halo[2] == pytest.approx(0, abs=0.12)
    for ratio, told in list(zip(ratios, halo))[1:]:
        assert told == pytest.approx((TRUE_RATIO / ratio - 1) / 2, abs=0.15)
    noise = [each.noise for each in found.figures]
    assert noise == sorted(noise, reverse=True)


def test_a_sweep_is_what_each_value_alone_gives(tuning):
    region = (slice(60, 200), slice(80, 230))
    found = sweep(tuning, "unsharp.method", z=Z, region=region)
    assert found.values == ("none", "gaussian", "log")
    assert found.labels[2] == "unsharp mask log"
    assert found.stack.shape == (3, 140, 150)
    for value, picture, told in zip(found.values, found.stack, found.figures):
        alone = tuning.changed({"unsharp.method": value})
        np.testing.assert_array_equal(picture, alone.slice(Z)[region])
        assert told == alone.figures(Z, region=region)
    assert found.sheet().size[0] > 2 * 150


def test_a_comparison_is_rough_then_fine_then_told(tuning, monkeypatch):
    monkeypatch.setattr(comparison, "ROUGH_PX", 80)
    other = tuning.changed({"phase.delta_beta": 600.0})
    rough, fine, told = list(compare(tuning, other, Z))
    assert (rough.level, fine.level, told.level) == (2, 0, 0)
    np.testing.assert_array_equal(fine.before, tuning.slice(Z))
    np.testing.assert_array_equal(fine.after, other.slice(Z))
    assert told.figures == (tuning.figures(Z), other.figures(Z))

    # A rough picture lies where the fine one does: shifted by a voxel of its own, it fits worse.
    def off(by):
        moved = np.roll(rough.after, by, axis=(0, 1))
        return np.abs(moved - fine.after)[40:-40, 40:-40].mean()

    assert rough.after.shape == fine.after.shape
    assert off((0, 0)) < min(off((4, 0)), off((-4, 0)), off((0, 4)), off((0, -4)))
    # A region begins anywhere, not only where a coarse voxel does.
    region = (slice(33, 167), slice(50, 201))
    part = next(compare(tuning, other, Z, region=region))
    assert part.level == 1
    assert part.before.shape == (134, 151)
    assert np.abs(part.before - fine.before[region]).mean() < 0.5 * np.std(fine.before[region])
    *_, again = compare(tuning, other, Z, rough=False, known=told.figures[1])
    assert again.figures == (told.figures[1], told.figures[1])
    tiny = (slice(100, 110), slice(100, 110))
    assert [each.figures for each in compare(tuning, other, Z, region=tiny)] == [None]


def test_a_comparison_that_nobody_waits_for_ends(tuning, monkeypatch):
    monkeypatch.setattr(comparison, "ROUGH_PX", 80)
    other = tuning.changed({"phase.delta_beta": 617.0})
    steps = compare(tuning, other, Z, cancelled=lambda: True)
    # Something to look at there is all the same.
    assert next(steps).level == 2
    with pytest.raises(Cancelled):
        next(steps)


def test_a_fine_picture_waits_for_what_comes_next(tuning, monkeypatch):
    monkeypatch.setattr(comparison, "ROUGH_PX", 80)
    monkeypatch.setattr(comparison, "PAUSE_S", 60.0)
    monkeypatch.setattr(comparison.time, "sleep", lambda _: None)
    enlarged, levels, asked = comparison._enlarged, [], iter([False] * 20)

    def noted(tuned, z, level, *others):
        levels.append(level)
        return enlarged(tuned, z, level, *others)

    monkeypatch.setattr(comparison, "_enlarged", noted)
    other = tuning.changed({"phase.delta_beta": 631.0})
    rough = compare(tuning, other, Z, cancelled=lambda: next(asked, True))
    with pytest.raises(Cancelled):
        list(rough)
    assert levels == [2, 2]


def test_a_sweep_has_to_fit(tuning, monkeypatch):
    monkeypatch.setattr("hipct.live.sweep.LARGEST_STACK", 1_000_000)
    with pytest.raises(InputError, match="take a region, or fewer values"):
        sweep(tuning, "unsharp.strength", z=Z)
    region = (slice(100, 150), slice(100, 150))
    assert sweep(tuning, "unsharp.strength", z=Z, region=region).stack.shape == (7, 50, 50)


def test_another_axis_is_shown_at_the_same_place(tuning):
    axis = tuning.live.axis_px
    moved = tuning.changed({"axis.value": axis - 3})
    assert moved.live.shape != tuning.live.shape
    here, there = tuning.slice(Z), moved.slice(Z)
    assert here.shape == there.shape

    # The organ's outline stays where it is; by another axis it is 3 voxels too small or large.
    def middle(picture):
        y, x = np.nonzero(picture > 0.5 * np.median(picture[80:180, 80:180]))
        return np.array([(y.min() + y.max()) / 2, (x.min() + x.max()) / 2])

    np.testing.assert_allclose(middle(here), middle(there), atol=4)
    region = (slice(10, 60), slice(0, 40))
    np.testing.assert_array_equal(moved.slice(Z, region=region), there[region])
    assert moved.slice(15, level=1).shape == tuning.slice(15, level=1).shape


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "phase.delta_beta": 900.0,
            "scan.energy_kev": 80.5,
            "unsharp.method": "log",
            "rings.method": "sorting",
            "reconstruction.filter": "hann",
        },
        {"phase.method": "none", "scan.energy_kev": 50.0},
        {"phase.method": "ctf_homogeneous", "phase.regularisation": 0.05},
    ],
)
def test_a_run_takes_the_settings_and_gives_the_same_voxels(tuning, scan, changes, tmp_path):
    tuned = tuning.changed(changes)
    if not changes:
        tuned = tuned.changed({"axis.value": tuned.live.axis_px - 1.55})
    file = tuned.save(tmp_path / "tuned.yaml")
    config = load_config(file)
    assert config.model_copy(update={"compute": tuned.config.compute}) == tuned.config
    result = reconstruct(scan, tmp_path / "organ.ome.zarr", config)
    assert result.axis == tuned.live.axis_px
    volume = open_volume(result.path)
    grey = np.asarray(volume.levels[0].chunkwise[Z]).astype(float)
    window = result.window
    stored = window.low + grey * (window.high - window.low) / 65535
    expected = np.clip(tuned.live.slice(Z), window.low, window.high)
    # Half a grey value, and what a halo of 1e-5 leaves of an edge on either side.
    step = (window.high - window.low) / 65535
    inside = np.hypot(*np.indices(grey.shape) - (len(grey) - 1) / 2) < 0.45 * len(grey)
    assert np.abs(stored - expected)[inside].max() < 0.51 * step + 2e-5 * np.ptp(expected)


def test_the_file_says_what_differs_and_what_it_means(tuning):
    tuned = tuning.changed({"phase.delta_beta": 900.0, "rings.method": "dead"})
    text = tuned.text()
    assert text.startswith("# Tuned by eye on ")
    assert "\n  delta_beta: 900.0\n" in text
    assert "# Ratio of refraction to absorption" in text
    assert "energy" not in text
    assert f"axis.value={tuned.live.axis_px}" in tuned.words()
    assert "rings.method=dead" in tuned.words()


def test_a_scan_without_metadata_is_tuned_once_they_are_given(scan):
    class Told(Silent):
        said = ""

        def say(self, message):
            self.said += message

    observer = Told()
    with open_scan(scan) as bare:
        bare.info = replace(bare.info, energy_kev=None)
        with open_tunable(bare, observer=observer) as live:
            start = Tuning(live)
            assert "looked at without phase retrieval" in observer.said
            assert start.values["phase.method"] == "none"
            assert start.values["scan.energy_kev"] is start.values["phase.delta_beta"] is None
            assert start.figures(Z).halo is None
            with pytest.raises(MissingMetadata, match="photon energy"):
                start.changed({"phase.method": "paganin"})
            given = {"phase.method": "paganin", "scan.energy_kev": 90.0}
            # The axis was sought without phase retrieval: it is a little beside the other one.
            assert start.changed(given).figures(Z).halo == pytest.approx(0, abs=0.15)
    with open_tunable(scan) as live:
        assert live.config == Config()


def test_any_configuration_can_be_written():
    config = Config(
        scan={"first_row": 3, "acquisition": "half"},
        reference={"path": "a folder/jar: 1.h5"},
        axis={"search_px": (3.5, 1e-5 + 9)},
        volume={"percentiles": (0.5, 99), "ome_zarr": "0.4", "chunk": 64, "crop_x": (1, 9)},
        compute={"memory": "3GB"},
        flat={"enabled": False},
    )
    assert parse_config(config_text(config)) == config.model_copy(
        update={"compute": Config().compute}
    )


def test_values_on_a_scale():
    knob = Knob("a.b", "b", 21, "linear", low=3, high=151, step=2)
    assert [knob.at(place) for place in (0, 0.5, 1)] == [3, 77, 151]
    assert knob.rounded(21.9) == 21
    ratio = Knob("a.b", "b", 100.0, "logarithmic", low=10, high=1e4)
    assert ratio.spread(4) == [10, 100, 1000, 10000]
    assert ratio.spread(3, 500, 2000) == [500, 1000, 2000]
    with pytest.raises(InputError, match=r"no two values of a\.b"):
        ratio.spread(3, 500, 500)
    with pytest.raises(InputError, match="its values are x, y"):
        Knob("a.b", "b", "x", "choice", options=("x", "y")).spread(3)


def test_a_frame_outside_of_the_slices_is_empty():
    frame = Frame((20, 20), (8, 8), 0, (slice(0, 4), slice(0, 20)))
    picture = np.ones((8, 8), np.float32)[frame.own]
    assert not frame.placed(picture).any()
    assert frame.placed(picture).shape == (4, 20)
    with pytest.raises(InputError, match="takes voxels 5 to 25, and the slices have 20"):
        Frame((20, 20), (8, 8), 0, (slice(5, 25), slice(0, 20)))


def test_what_cannot_be_is_said(tuning, tmp_path):
    with pytest.raises(InputError, match=r"'phase\.padding' is nothing that is tuned"):
        tuning.changed({"phase.padding": "edge"})
    with pytest.raises(ConfigError, match="delta_beta"):
        tuning.changed({"phase.delta_beta": -3.0})
    with pytest.raises(InputError, match="102 values were given"):
        sweep(tuning, "phase.delta_beta", [float(k) for k in range(1, 103)], z=Z)
    with pytest.raises(OutputError, match=r"has to end in \.yaml"):
        tuning.save(tmp_path / "tuned.txt")
    tuning.save(tmp_path / "tuned.yaml")
    with pytest.raises(OutputError, match="exists already"):
        tuning.save(tmp_path / "tuned.yaml")
    tuning.save(tmp_path / "tuned.yaml", overwrite=True)
