"""Lint, types and the import contract, so that plain pytest covers them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

CHECKS = {
    "lint": ["-m", "ruff", "check", "--no-fix"],
    "format": ["-m", "ruff", "format", "--check"],
    "types": ["-m", "mypy"],
    "imports": [
        "-c",
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())",
    ],
}
PACKAGE = {"lint": "ruff", "format": "ruff", "types": "mypy", "imports": "importlinter"}


@pytest.mark.parametrize("check", CHECKS)
def test_the_tree_passes(check):
    if importlib.util.find_spec(PACKAGE[check]) is None:
        pytest.skip(f"{PACKAGE[check]} is not installed: pip install --group test")
    result = subprocess.run(
        [sys.executable, *CHECKS[check]],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"\n{result.stdout}\n{result.stderr}"


def test_the_import_contract_would_notice_an_upward_import(tmp_path):
    """A contract that nothing can break holds nothing: break it in a copy."""
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    package = tmp_path / "hipct"
    floors = [
        "cli",
        "viewing",
        "live",
        "cluster",
        "quality",
        "pipeline",
        "atlas",
        "exchange",
        "volume",
        "reconstruction",
        "phase",
    ]
    floors += ["preparation", "simulation", "acquisition", "storage", "core"]
    for floor in floors:
        (package / floor).mkdir(parents=True)
        (package / floor / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "phase" / "upward.py").write_text("import hipct.volume\n", encoding="utf-8")
    (package / "core" / "storage.py").write_text("import zarr\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_bytes((REPOSITORY / "pyproject.toml").read_bytes())
    result = subprocess.run(
        [sys.executable, *CHECKS["imports"]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "hipct.phase.upward -> hipct.volume" in result.stdout
    assert "hipct.core.storage -> zarr" in result.stdout
