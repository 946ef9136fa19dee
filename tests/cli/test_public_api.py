"""``import hipct``: one sorted page of names, none of them imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hipct

SOURCE = ast.parse(Path(hipct.__file__).read_text(encoding="utf-8"))


def test_the_names_are_sorted_and_all_there() -> None:
    assert hipct.__all__ == sorted(hipct.__all__)
    assert set(hipct.__all__) == {*hipct._HOMES, "__version__"}
    assert set(hipct.__all__) <= set(dir(hipct))


@pytest.mark.parametrize("name", hipct.__all__)
def test_every_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(hipct, name)
    if name != "__version__":
        assert value.__name__ == name
        assert (value.__doc__ or "").strip()
        assert value.__module__.startswith("hipct.")


def test_what_type_checkers_see_is_what_there_is() -> None:
    seen = {
        alias.name: node.module
        for branch in SOURCE.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == hipct._HOMES


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hipct' has no attribute 'fpb'"):
        _ = hipct.fpb


def test_the_import_is_light() -> None:
    program = (
        "import sys, hipct\n"
        "print(sorted(m for m in sys.modules if m.startswith('hipct') or m == 'numpy'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(hipct.__file__).parents[1],
    )
    assert done.stdout.strip() == "['hipct']"


def test_the_errors_stand_in_one_tree() -> None:
    errors = [getattr(hipct, name) for name in hipct.__all__ if "Error" in name]
    errors += [hipct.MissingExtra, hipct.MissingMetadata]
    assert all(issubclass(error, hipct.HipctError) for error in errors)
