"""Notebooks run from top to bottom and show what their source says."""

from __future__ import annotations

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


def test_every_source_is_shown():
    sources = {path.stem for path in (REPOSITORY / "notebooks").glob("*.py")}
    assert sources == {path.stem for path in NOTEBOOKS}
