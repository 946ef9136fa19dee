"""What the pages promise exists: commands, options, names, floors."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hipct
from hipct.cli.main import cli
from hipct.simulation import load_truth

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMAND_LINES = [
    line.partition("#")[0]
    for block in re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("hipct ")
]


def test_the_table_of_commands_is_complete():
    listed = re.findall(r"^\| `hipct ([a-z]+)", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(cli.list_commands(None))


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_line_of_the_readme_is_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"\b(?:scan|organ)[.\w]*", line):
        (tmp_path / name).mkdir()
    _, name, *arguments = shlex.split(line)
    command = cli.get_command(None, name)
    assert command is not None
    with command.make_context(name, arguments):
        pass


def test_the_python_example_of_the_readme_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert "[56:72]" in code
    code = code.replace("[56:72]", "[12:20]")
    monkeypatch.chdir(tmp_path)
    hipct.simulate_scan(
        "scan.zarr",
        columns=192,
        rows=48,
        angles=360,
        pixel_size_um=10.0,
        distance_m=8.0,
        drift=0.0,
        axis=155.3,
        seed=7,
    )
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    truth = load_truth("scan.zarr")
    assert names["axis"] == pytest.approx(truth.setup.axis_px, abs=0.3)
    slices = names["slices"]
    expected = truth.volume(slice(12, 20), size=slices.shape[-1])
    assert slices.shape == expected.shape
    assert np.corrcoef(slices.ravel(), expected.ravel())[0, 1] > 0.95
    tissue = expected > 0.02
    assert slices[tissue].mean() == pytest.approx(expected[tissue].mean(), rel=0.03)


def test_the_table_of_benchmarks_is_complete():
    folder = REPOSITORY / "benchmarks"
    page = (folder / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    helpers = {"__init__", "common", "peers", "phantoms", "view_data"}
    parts = ("cpu_", "gpu_", "pyramid_", "register_", "series_")
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith(parts)}
    assert sorted(listed) == sorted(modules - helpers)


def test_the_drawing_shows_the_floors_of_the_import_contract():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"
    )
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.partition("```\n")[2].partition("```")[0]
    floors = [line.split()[0] for line in drawing.splitlines() if line.strip(" |")]
    assert [f"hipct.{floor}" for floor in floors] == contract["layers"]
    table = page.partition("## Find a room")[2].partition("##")[0]
    assert all(f"`{floor}`" in table for floor in floors)


def test_pages_name_public_functions_only():
    pages = [README, (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")]
    names = {name for page in pages for name in re.findall(r"\bhipct\.([a-z_]+)\(", page)}
    assert names
    assert names <= set(hipct.__all__)
