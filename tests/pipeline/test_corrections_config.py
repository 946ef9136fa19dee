"""Settings of the corrections of flats: what they read, and what they refuse in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hipct.core.errors import ConfigError
from hipct.pipeline.config import Config
from hipct.pipeline.config_io import load_config
from hipct.pipeline.corrections_measure import wants_corrections


def test_all_are_off_unless_they_are_asked_for() -> None:
    assert not wants_corrections(Config())
    for section, values in (
        ("reference", {"path": "jar.zarr"}),
        ("reference", {"from_series": True}),
        ("dynamic_flat", {"enabled": True}),
        ("darkening", {"enabled": True, "left_columns": 3}),
        ("double_flat", {"enabled": True}),
        ("distortion", {"map_file": "map.npz"}),
        ("distortion", {"centre_px": [1, 2], "coefficients": [1, 2e-9]}),
    ):
        assert wants_corrections(Config(**{section: values})), section


def test_lists_and_paths_are_read_and_survive_json(tmp_path: Path) -> None:
    text = "distortion: {centre_px: [1023.5, 1000], coefficients: [1.0, 0.0, 2.0e-9]}\n"
    (tmp_path / "settings.yaml").write_text(text)
    config = load_config(tmp_path / "settings.yaml")
    assert config.distortion.centre_px == (1023.5, 1000)
    assert config.distortion.coefficients == (1, 0, 2e-9)
    # As they stand behind --set.
    told = Config(
        distortion={"centre_px": "[1023.5, 1000]", "coefficients": "[1.0,0.0,2e-9]"},
        reference={"path": "jar.zarr", "wide": "none"},
    )
    assert told.distortion == config.distortion
    assert told.reference.path == Path("jar.zarr")
    assert Config(**json.loads(json.dumps(told.as_dict()))) == told


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (
            {"reference": {"path": "jar.zarr", "from_series": True}},
            "reference.path is jar.zarr and reference.from_series is true; the flats have one "
            "source: give one of the two.",
        ),
        (
            {"reference": {"narrow": 1}},
            "reference.narrow is 1; allowed is a whole number from 2 up to 100000 (frames of the "
            "reference), or null (200 to 500 of 6000 frames a turn, by the pixel size).",
        ),
        (
            {"reference": {"reduction": "medain"}},
            "reference.reduction is 'medain'; allowed is one of mean, median; did you mean median?",
        ),
        (
            {"darkening": {"enabled": True}},
            "darkening.enabled is true and both darkening.left_columns and "
            "darkening.right_columns are 0; give the outer columns that see no sample, on one "
            "side at least.",
        ),
        (
            {"distortion": {"coefficients": [1.0]}},
            "distortion.centre_px is None and distortion.coefficients is (1.0,); a radial "
            "distortion needs both.",
        ),
        (
            {"distortion": {"centre_px": [1], "coefficients": [1]}},
            "distortion.centre_px is [1]; allowed is two numbers, [row, column], or null (none).",
        ),
        (
            {"distortion": {"centre_px": [1, 2], "coefficients": []}},
            "distortion.coefficients is empty; give [k0, k1, ...].",
        ),
        (
            {"distortion": {"centre_px": [1, 2], "coefficients": [1], "map_file": "m.npz"}},
            "distortion.coefficients and distortion.map_file (m.npz) are given; the distortion "
            "has one source: give one of the two.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(sections: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**sections)
    assert str(caught.value) == sentence
