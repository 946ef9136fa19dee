"""The configuration: what it reads, what it refuses, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import ConfigError
from hipct.pipeline.config import Config
from hipct.pipeline.config_docs import config_markdown, config_template
from hipct.pipeline.config_errors import settings as all_settings
from hipct.pipeline.config_io import load_config, merge, parse_config, preset_names

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = [".".join(keys) for keys, _ in all_settings(Config)]


def refusal(**sections: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Config(**sections)
    return str(caught.value)


def test_every_setting_has_a_description_and_says_what_null_means() -> None:
    for keys, field in all_settings(Config):
        assert field.description, keys
        assert not field.description.endswith("."), keys
        takes_null = type(None) in get_args(field.annotation)
        assert bool(field.json_schema_extra["null"]) == takes_null, keys


def test_defaults_are_allowed_and_survive_json() -> None:
    config = Config()
    assert Config(**json.loads(json.dumps(config.as_dict()))) == config


def test_changed_settings_survive_json() -> None:
    config = Config(
        volume={"window": [-0.05, 0.4], "chunk": 64},
        compute={"memory": "2GiB", "scratch": "/scratch"},
        scan={"first_row": 3, "last_row": 9},
    )
    assert config.compute.memory == 2 * 2**30
    assert config.volume.window == (-0.05, 0.4)
    assert Config(**json.loads(json.dumps(config.as_dict()))) == config


def test_sections_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().phase.delta_beta = 3.0


def test_memory_is_as_given_else_a_share_of_what_is_free() -> None:
    assert Config(compute={"memory": "8GB"}).memory_bytes() == 8 * 10**9
    assert 0 < Config().memory_bytes() < 2**50


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (
            {"phase": {"method": "paginan"}},
            "phase.method is 'paginan'; allowed is one of paganin, generalised, ctf, "
            "ctf_homogeneous, nonlinear, multi_material, none; did you mean paganin?",
        ),
        (
            {"scan": {"energy_kev": -3}},
            "scan.energy_kev is -3; allowed is a number above 0 (keV), or null (as the scan says).",
        ),
        (
            {"phase": {"delta_betta": 3}},
            "phase.delta_betta is not a setting; did you mean phase.delta_beta?",
        ),
        ({"delta_beta": 3}, "delta_beta is not a setting; did you mean phase.delta_beta?"),
        ({"phas": {}}, "phas is not a setting; did you mean phase?"),
        (
            {"method": 1},
            "method is not a setting; did you mean phase.method or unsharp.method or "
            "rings.method or axis.method or motion.method?",
        ),
        (
            {"flat": {"xyz": 1}},
            "flat.xyz is not a setting; known in flat are enabled, use_current, air_columns.",
        ),
        ({"phase": 3}, "phase is 3; it is a section: give settings such as phase.method."),
        (
            {"axis": {"rows": 2.5}},
            "axis.rows is 2.5; allowed is a whole number from 1 up to 4096 (rows).",
        ),
        (
            {"scan": {"first_row": 5, "last_row": 5}},
            "scan.last_row is 5 and scan.first_row is 5; the last row (itself excluded) has to be "
            "above the first.",
        ),
        (
            {"volume": {"percentiles": [-1, 50]}},
            "volume.percentiles is [-1.0, 50.0]; allowed are two numbers from 0 to 100, the second "
            "above the first.",
        ),
        (
            {"volume": {"chunk": 65}},
            "volume.chunk is 65; allowed is one of 32, 64, 128.",
        ),
        (
            {"compute": {"memory": "lots"}},
            "compute.memory is 'lots'; allowed is a number of bytes above 0, or one with a unit "
            "such as 8GB (1e9), 16GiB (2**30), 500MB, or null (80 % of what is free).",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(sections: dict[str, object], sentence: str) -> None:
    assert refusal(**sections) == sentence


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, False, "true", [1], {}, "1 2"])
@pytest.mark.parametrize("key", ["scan.energy_kev", "axis.value", "unsharp.sigma_px"])
def test_a_number_is_a_finite_number(key: str, value: object) -> None:
    section, name = key.split(".")
    assert refusal(**{section: {name: value}}).startswith(f"{key} is ")


@pytest.mark.parametrize("value", [[1], [2, 1], [1, 1], [1, 2, 3], "1", 1, [1, float("nan")], True])
def test_a_range_is_two_ascending_numbers(value: object) -> None:
    assert "volume.window is " in refusal(volume={"window": value})


def test_all_wrong_settings_are_told_but_not_without_end() -> None:
    message = refusal(
        phase={"delta_beta": 0},
        rings={"levels": 0},
        axis={"rows": 0},
        unsharp={"sigma_px": 0},
        volume={"chunk": 1},
    )
    assert [key for key in KEYS if f"{key} is" in message] == [
        "phase.delta_beta",
        "unsharp.sigma_px",
        "rings.levels",
    ]
    assert message.endswith("2 more are wrong.")


def test_long_values_are_shortened() -> None:
    assert len(refusal(phase={"method": "x" * 10**6})) < 300
    # The names of all sections follow.
    assert len(refusal(**{"x" * 10**6: 1})) < 300 + sum(len(name) for name in Config.model_fields)
    assert len(refusal(phase={"delta_beta": [["x" * 1000] * 1000] * 1000})) < 800


# --- files ---------------------------------------------------------------------------------------


def test_yaml_errors_name_file_and_line() -> None:
    text = "scan:\n  energy_kev: 80\n\nphase:\n  # comment\n  delta_beta: much\n"
    with pytest.raises(ConfigError, match=r"^phase.delta_beta is 'much' \(mine.yaml, line 6\); "):
        parse_config(text, name="mine.yaml")
    with pytest.raises(ConfigError, match=r"^scan.energy is not a setting \(m.yaml, line 2\); did"):
        parse_config("scan:\n  energy: 80", name="m.yaml")
    with pytest.raises(ConfigError, match=r"^energy_kev is not a setting \(m.yaml, line 1\); did"):
        parse_config("energy_kev: 80", name="m.yaml")
    with pytest.raises(ConfigError, match=r"^m.yaml, line 3: phase.method is given a second time"):
        parse_config("phase:\n  method: none\n  method: paganin", name="m.yaml")
    with pytest.raises(ConfigError, match=r"^m.yaml is not valid YAML in line 2: "):
        parse_config("phase:\n  method: [", name="m.yaml")
    with pytest.raises(ConfigError, match=r"^scan.last_row is 1 .* \(m.yaml, line 1\)\.$"):
        parse_config("scan: {first_row: 2, last_row: 1}", name="m.yaml")


def test_toml_errors_name_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^scan.energy_kev is True \(m.toml\); allowed is a num"):
        parse_config("[scan]\nenergy_kev = true", name="m.toml", toml=True)
    with pytest.raises(ConfigError, match=r"^m.toml is not valid TOML: "):
        parse_config("[scan", name="m.toml", toml=True)


def test_yaml_reads_numbers_and_choices_as_people_write_them() -> None:
    config = parse_config(
        "phase: {halo_accuracy: 1e-5, method: none}\n"
        "scan: {energy_kev: 80, distance_m: ~}\n"
        "flat: {enabled: no, use_current: 'true'}\n"
        "rings:\n"
        "axis: {value: null, search_px: [10, 2e2]}\n"
        "volume: {chunk: 64, window: '-0.1, 0.3'}\n"
        "compute: {memory: 500 MB, scratch: /tmp/a b}\n"
    )
    assert config.phase.halo_accuracy == 1e-5
    assert config.phase.method == "none"
    assert config.scan.energy_kev == 80.0
    assert config.scan.distance_m is None
    assert config.flat.enabled is False
    assert config.flat.use_current is True
    assert config.axis.search_px == (10.0, 200.0)
    assert config.volume.chunk == 64
    assert config.volume.window == (-0.1, 0.3)
    assert config.compute.memory == 500 * 10**6
    assert config.compute.scratch == Path("/tmp/a b")


def test_yaml_and_toml_say_the_same() -> None:
    written = "volume: {window: [0, 1]}\nphase: {delta_beta: 1e3, method: generalised}"
    toml = "volume.window = [0, 1]\n[phase]\ndelta_beta = 1e3\nmethod = 'generalised'"
    assert parse_config(written) == parse_config(toml, toml=True)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "phase: !!python/name:os.system {}",
        "- a\n- b",
        "text",
        "&a {phase: *a}",
        "a: &a [x, x]\nb: &b [*a, *a]\nphase: {method: *b}",
        "? [1]\n: 2",
        "[" * 5000,
        "{a: " * 5000,
        "phase: {method: {a: b}}",
        "phase: [a]",
        "%YAML 9.9\n---\nphase: {}",
        "a: b: c",
        "--- {}\n--- {}",
        "\t",
        "phase: {method: \x00}",
    ],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, name="m.yaml")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.yaml cannot be read: Is a directory"):
        load_config(tmp_path / "folder.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9\xe8\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml is not UTF-8 text"):
        load_config(tmp_path / "latin.yaml")
    (tmp_path / "huge.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        load_config(tmp_path / "huge.toml")
    with pytest.raises(ConfigError, match=r"'bm99' is neither .* the presets are bm05, bm18\.$"):
        load_config("bm99")
    with pytest.raises(ConfigError, match="no file name"):
        load_config("a\0.yaml")


def test_a_file_by_path(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("axis: {value: 12.5}", encoding="utf-8")
    (tmp_path / "a.toml").write_text("axis.value = 12.5", encoding="utf-8")
    assert load_config(tmp_path / "a.yml").axis.value == 12.5
    assert load_config(str(tmp_path / "a.toml")).axis.value == 12.5


# --- overrides -----------------------------------------------------------------------------------


def test_later_overrides_win_and_the_rest_stays() -> None:
    config = Config(phase={"delta_beta": 100}, volume={"chunk": 64})
    merged = merge(config, ["axis.value=3", "axis.value=12.5", "rings.method=none"])
    assert merged.axis.value == 12.5
    assert merged.phase == config.phase
    assert merged.volume == config.volume


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("axis.value=none", None),
        ("axis.value=", None),
        ("rings.method=none", "none"),
        ("volume.window=-0.1,0.4", (-0.1, 0.4)),
        ("volume.window=[-0.1, 0.4]", (-0.1, 0.4)),
        ("volume.window=null", None),
        ("volume.chunk=32", 32),
        ("flat.enabled=false", False),
        ("flat.use_current=no", False),
        ("compute.memory=16GiB", 16 * 2**30),
        ("compute.scratch=/a=b", Path("/a=b")),
        (" axis.rows = 4 ", 4),
    ],
)
def test_overrides_are_typed_by_the_model(override: str, value: object) -> None:
    section, name = override.partition("=")[0].strip().split(".")
    assert getattr(getattr(merge(Config(), [override]), section), name) == value


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("axis.valu=3", "axis.valu is not a setting; did you mean axis.value?"),
        ("axis", "'axis' is no override; give section.name=value, e.g. phase.delta_beta=1660."),
        (
            "axis=3",
            "axis is not a setting; it is a section, with the settings value, method, rows, "
            "search_px.",
        ),
        ("axis.value.x=3", "axis.value.x is not a setting; did you mean axis.value?"),
        ("volume.chunk=65", "volume.chunk is '65'; allowed is one of 32, 64, 128."),
    ],
)
def test_a_wrong_override_is_said_in_a_sentence(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        merge(Config(), [override])
    assert str(caught.value) == sentence


# --- generated pages -----------------------------------------------------------------------------


def test_the_template_holds_every_setting_at_its_default() -> None:
    template = config_template()
    assert parse_config(template) == Config()
    written = yaml.safe_load(template)
    assert [f"{section}.{name}" for section in written for name in written[section]] == KEYS
    assert max(map(len, template.splitlines())) <= 100


def test_the_page_in_the_repository_is_the_generated_one() -> None:
    page = REPOSITORY / "docs" / "config.md"
    assert page.read_text(encoding="utf-8") == config_markdown(), (
        "run: hipct config --docs > docs/config.md"
    )


@pytest.mark.parametrize("name", ["bm05", "bm18"])
def test_presets_load_by_name(name: str) -> None:
    assert name in preset_names()
    config = load_config(name)
    assert config.phase.method == "paganin"
    assert (config.unsharp.method, config.unsharp.sigma_px, config.unsharp.strength) == (
        "log",
        0.8,
        3.0,
    )
    # Geometry is the scan's to know: a preset that overrode it would be wrong in silence.
    assert (config.scan.energy_kev, config.scan.distance_m) == (None, None)


# --- whatever comes in, only ConfigError comes out -----------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=4),
    st.sampled_from(["none", "8GB", "paganin", "0,1", "1e400", "[1, 2]"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.sampled_from(sorted({name for key in KEYS for name in key.split(".")}))
section_names = st.one_of(st.sampled_from(list(Config.model_fields)), st.text(max_size=8))
sections = st.dictionaries(
    section_names,
    st.one_of(values, st.dictionaries(st.one_of(names, st.text(max_size=5)), values, max_size=4)),
    max_size=3,
)


def outcome(read: Callable[[], Config]) -> Config | str:
    """What was read, or the sentence that refuses it; any other error fails the test."""
    try:
        return read()
    except ConfigError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(sections)
def test_any_mapping_is_read_or_refused(given_sections: dict[str, object]) -> None:
    config = outcome(lambda: Config(**given_sections))
    if isinstance(config, str):
        assert config.isprintable()
        assert 0 < len(config) < 2500
    else:
        assert Config(**json.loads(json.dumps(config.as_dict(), allow_nan=False))) == config


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        sections.map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
        st.lists(
            st.sampled_from(
                [
                    "phase",
                    "method",
                    ":",
                    " ",
                    "\n",
                    "  ",
                    "- ",
                    "[",
                    "]",
                    "{",
                    "}",
                    "!!",
                    "int",
                    "float",
                    "&a",
                    "*a",
                    "|",
                    ">",
                    "'",
                    '"',
                    "#",
                    "%",
                    "<<",
                    "null",
                    "1e5",
                    ",",
                    "? ",
                ]
            ),
            max_size=20,
        ).map("".join),
    ),
    st.booleans(),
)
def test_any_text_is_read_or_refused(text: str, toml: bool) -> None:
    assert outcome(lambda: parse_config(text, name="fuzz", toml=toml))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.builds("{}={}".format, st.sampled_from(KEYS), scalars),
        ),
        max_size=3,
    )
)
def test_any_override_is_read_or_refused(overrides: list[str]) -> None:
    merged = outcome(lambda: merge(Config(), overrides))
    if isinstance(merged, Config):
        assert merge(merged, []) == merged
    else:
        assert merged.isprintable()


def test_defaults_agree_with_the_functions_that_they_go_to() -> None:
    from hipct.preparation.rings_sorting import SIZE_PX
    from hipct.preparation.rings_wavelet import LEVELS, SIGMA

    rings = Config().rings
    assert (rings.size_px, rings.levels, rings.sigma) == (SIZE_PX, LEVELS, SIGMA)
    assert refusal(rings={"size_px": 20}) == (
        "rings.size_px is 20; allowed is an odd number from 3 up to 1001 (columns)."
    )
