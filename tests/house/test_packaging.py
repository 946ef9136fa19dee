"""The wheel, the citation, and a set-up that says what is missing."""

from __future__ import annotations

import ast
import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built offline by hatchling from a copy of the sources."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install --group test")
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    for name in ("hipct", "kernels", "configs"):
        shutil.copytree(
            REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(copy / "dist")],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_package_its_kernels_and_its_presets(wheel):
    names = set(wheel.namelist())
    sources = {
        path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "hipct").rglob("*.py")
    }
    extras = {
        f"hipct/{path.relative_to(REPOSITORY).as_posix()}"
        for folder in ("kernels", "configs")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file()
    }
    assert {
        "hipct/kernels/README.md",
        "hipct/configs/bm05.yaml",
        "hipct/configs/bm18.yaml",
    } <= extras
    assert sources | extras | {"hipct/py.typed", "hipct/viewing/napari.yaml"} <= names
    assert all(name.startswith(("hipct/", "hipct-")) for name in names)


def test_the_wheel_says_what_it_needs(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(wheel.read(metadata))
    assert fields["Requires-Python"] == ">=3.11"
    assert fields["License-Expression"] == "BSD-3-Clause"
    extras = {"gpu", "gpu13", "edf", "viewer", "formats", "remote", "atlas", "cluster", "notebooks"}
    assert set(fields.get_all("Provides-Extra")) == extras
    always = [line for line in fields.get_all("Requires-Dist") if "extra ==" not in line]
    # These are large, need hardware, or serve as oracles: none may come unasked.
    for unwanted in ("cupy", "napari", "PySide", "nabu", "astra", "algotom", "ducc0", "tomopy"):
        assert not [line for line in always if line.lower().startswith(unwanted.lower())]
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"hipct = hipct.cli.main:main" in wheel.read(entry)
    assert b"[napari.manifest]\nhipct = hipct.viewing:napari.yaml" in wheel.read(entry)
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def distribution(requirement: str) -> str:
    """Normalised name of the package that a requirement asks for."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize(
    ("folder", "groups"), [("hipct", []), ("tests", ["test"]), ("benchmarks", ["peers"])]
)
def test_imports_at_the_top_of_a_module_are_declared(folder, groups):
    """What is imported always has to be required; the rest is imported where it is used."""
    required = {distribution(each) for each in PROJECT["dependencies"]}
    # What pydantic and numba bring, each in the one version that fits.
    required |= {"pydantic-core", "annotated-types", "llvmlite"}
    for group in groups:
        required |= {distribution(each) for each in PYPROJECT["dependency-groups"][group]}
    provided = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            ours = {"hipct", "benchmarks"}
            if "standin" in path.parts:
                ours |= {"cupy", "cupyx"}  # by the names of what they stand for
            allowed = required
            if path.parent.name == "viewing":
                # Panels are imported by a window alone, and so after napari.
                viewer = PROJECT["optional-dependencies"]["viewer"]
                allowed = required | {distribution(each) for each in viewer}
            for name in {each.partition(".")[0] for each in names}:
                if name in ours or name in sys.stdlib_module_names:
                    continue
                owners = {distribution(each) for each in provided.get(name, [name])}
                if not owners & allowed:
                    undeclared.add(f"{path.relative_to(REPOSITORY)}: {name}")
    assert not undeclared, "\n".join(sorted(undeclared))


def test_the_citation_is_valid_and_up_to_date():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    # Required by the Citation File Format 1.2.0.
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"]
    assert citation["authors"] == [{"name": "The hipct developers"}]
    assert citation["type"] == "software"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_the_changelog_knows_this_version():
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{PROJECT['version']}]" in text or f"[Unreleased]: {PROJECT['version']}" in text


@pytest.fixture
def set_up(tmp_path):
    """Runs tools/setup.sh in an empty copy with a given stand-in for Python."""
    (tmp_path / "tools").mkdir()
    shutil.copy(REPOSITORY / "tools" / "setup.sh", tmp_path / "tools")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)

    def run(stand_in: str, purpose: str = "run") -> subprocess.CompletedProcess[str]:
        python = tmp_path / "some-python"
        python.write_text(f"#!/bin/sh\n{stand_in}\n", encoding="utf-8")
        python.chmod(0o755)
        environment = {**os.environ, "PYTHON": str(python)}
        return subprocess.run(
            ["sh", "tools/setup.sh", purpose],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_an_old_python_is_named_with_what_to_do(set_up):
    result = set_up(
        'case "$*" in -V) echo Python 3.9.2;; *version_info*) exit 1;; *) exit 0;; esac'
    )
    assert result.returncode == 1
    assert "hipct needs Python 3.11 or later, found:" in result.stderr
    assert "(Python 3.9.2)" in result.stderr
    assert "make setup PYTHON=" in result.stderr


def test_a_python_without_venv_is_named_with_what_to_install(set_up):
    result = set_up('case "$*" in *ensurepip*) exit 1;; *) exit 0;; esac')
    assert result.returncode == 1
    assert "has no venv module; install it" in result.stderr
    assert "python3-venv" in result.stderr


def test_an_unknown_purpose_is_refused(set_up):
    result = set_up("exit 0", "everything")
    assert result.returncode == 2
    assert "'everything'; give run or test" in result.stderr
