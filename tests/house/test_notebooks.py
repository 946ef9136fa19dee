"""Notebooks run from top to bottom and show what their source says."""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in NOTEBOOKS]


def cells(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_runs(path, tmp_path):
    for package in ("nbmake", "ipykernel", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --group test")
    # A process of its own: warnings of the notebook machinery are no errors of ours. A folder of
    # its own: what a notebook writes does not end up in the checkout.
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=300", "-q", str(copy)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_what_its_source_says(path):
    jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed")
    source = jupytext.read(path.with_suffix(".py"))
    shown = jupytext.read(path)
    expected = [(cell.cell_type, cell.source) for cell in source.cells]
    assert [(cell.cell_type, cell.source) for cell in shown.cells] == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_stored_as_it_ran_with_pictures_and_without_traces_of_a_machine(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    text = json.dumps([{**output, "data": None} for output in outputs])
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_sliders_have_drawn():
    """Stored with its first picture, on a page that runs no code."""
    path = REPOSITORY / "notebooks" / "phase_contrast.ipynb"
    state = json.loads(path.read_text(encoding="utf-8"))["metadata"]["widgets"]
    models = state["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert sum(model["model_name"].endswith("SliderModel") for model in models) == 3
    (image,) = (model for model in models if model["model_name"] == "ImageModel")
    (buffer,) = image["buffers"]
    assert base64.b64decode(buffer["data"]).startswith(b"\x89PNG")


def test_a_real_scan_is_looked_at_by_changing_one_cell(shared_data, tmp_path):
    """The functions of the notebook on phase contrast and its last cell, on real counts."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    source = (REPOSITORY / "notebooks" / "phase_contrast.py").read_text(encoding="utf-8")
    settings = {
        "scan": {"energy_kev": 30, "distance_m": 0.3, "pixel_size_um": 2.9},
        "phase": {"delta_beta": 300},
    }
    given = {
        "REAL_SCAN = None": f"REAL_SCAN = {str(shared_data / 'tooth' / 'tooth.h5')!r}",
        "REAL_SETTINGS = {}": f"REAL_SETTINGS = {settings!r}",
    }
    for before, after in given.items():
        assert source.count(before) == 1
        source = source.replace(before, after)
    *body, last = ast.parse(source).body
    kept = [
        node
        for node in body
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)
        or (isinstance(node, ast.Assign) and _is_constant(node))
    ]
    code = ast.unparse(ast.Module([*kept, last], []))
    script = tmp_path / "real.py"
    script.write_text(f"{code}\nprint(plt.get_fignums())", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "by the halo" in result.stdout or "No rim" in result.stdout
    assert len(re.findall(r"noise \d+\.\d+ 1/cm, resolved: \d+ um", result.stdout)) == 2
    assert "[1, 2, 3, 4" in result.stdout


def _is_constant(node: ast.Assign) -> bool:
    """Whether a name is given a literal."""
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True


def test_every_source_is_shown():
    sources = {path.stem for path in (REPOSITORY / "notebooks").glob("*.py")}
    assert sources == {path.stem for path in NOTEBOOKS}
