"""Rules that the house sets itself: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = sorted((REPOSITORY / "hipct").rglob("*.py"))
LONGEST = 400


def written_files() -> list[Path]:
    """Text files of the repository: what git tracks, or all of it outside of git."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True
        ).stdout.decode()
        names = [REPOSITORY / name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path
            for path in REPOSITORY.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts[:-1])
        ]
    text = {
        ".py",
        ".pyi",
        ".md",
        ".toml",
        ".yaml",
        ".yml",
        ".cff",
        ".sh",
        ".cu",
        ".cuh",
        ".h",
        ".ipynb",
        ".json",
        "",
    }
    return [path for path in names if path.is_file() and path.suffix in text]


def lines_that_match(pattern: str) -> list[str]:
    found = []
    for path in written_files():
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            # The letters of a stored picture spell anything.
            if re.search(pattern, line) and '"image/png"' not in line:
                found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:120]}")
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_holds_one_idea(path):
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST, f"{length} lines; a file of more than {LONGEST} holds two ideas"


def test_the_library_neither_prints_nor_asserts_nor_swallows():
    """Code for people prints through click and rich; checks raise; errors are named.

    ``assert x is not None`` stays allowed: it tells mypy what the line above has settled.
    """
    found = []
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            what = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                what = "print" if node.func.id == "print" else None
            elif isinstance(node, ast.Assert):
                narrows = ast.unparse(node.test).endswith(" is not None")
                what = None if narrows else "assert"
            elif isinstance(node, ast.ExceptHandler) and node.type is None:
                what = "bare except"
            if what:
                found.append(f"{path.relative_to(REPOSITORY)}:{node.lineno}: {what}")
    assert not found, "\n".join(found)


def test_numba_loops_leave_threads_to_the_house():
    """Inner loops release the GIL, are cached, and never start numba's own threads."""
    found = []
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                text = ast.unparse(decorator)
                if not re.match(r"(numba\.)?n?jit\b", text):
                    continue
                where = f"{path.relative_to(REPOSITORY)}:{node.lineno}: @{text}"
                if not path.name.endswith("_numba.py"):
                    found.append(f"{where} outside of a _numba module")
                if "parallel=True" in text or "nogil=True" not in text or "cache=True" not in text:
                    found.append(where)
    assert not found, "\n".join(found)


def test_nothing_is_left_unfinished():
    assert not lines_that_match(r"\b(TODO|FIXME|XXX)\b")
    # The stand-in for CuPy refuses as CuPy does.
    unfinished = lines_that_match(r"raise NotImplementedError")
    assert not [line for line in unfinished if not line.startswith("tests/standin/")]


def test_nothing_names_a_path_of_one_machine():
    found = lines_that_match(r"(?<![\w.~}])/(?:home|Users|root|work|opt|mnt)/\w")
    found += lines_that_match(re.escape(str(REPOSITORY)) + r"\b")
    assert not found, "\n".join(found)


def test_nothing_names_a_package_registry():
    hosts = r"pypi\.org|pythonhosted|anaconda\.(org|com)|conda-forge\.org|ghcr\.io|docker\.io"
    found = lines_that_match(hosts)
    assert not found, "\n".join(found)


def test_no_large_file_is_tracked():
    large = [path.name for path in written_files() if path.stat().st_size > 3_000_000]
    assert not large


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in written_files():
        if page.suffix != ".md":
            continue
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(REPOSITORY)} -> {target}")
    assert not broken, "\n".join(broken)
