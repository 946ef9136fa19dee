"""Whatever hipct takes from an array namespace exists in CuPy, with the parameters it is given.

The stand-in refuses what CuPy lacks where a test comes by. This reads the source, so that no path
is left out: a device is no place to learn that a keyword is NumPy's alone.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted((REPOSITORY / "hipct").rglob("*.py")) + sorted(
    (REPOSITORY / "benchmarks").glob("gpu*.py")
)
ROOTS = {
    "xp": "cupy",
    "_xp": "cupy",
    "cupy": "cupy",
    "namespace": "cupy",
    "cupyx": "cupyx",
    "fft": "cupyx.scipy.fft",
    "_fft": "cupyx.scipy.fft",
    "fft_module": "cupyx.scipy.fft",
    "ndimage": "cupyx.scipy.ndimage",
    "_ndimage": "cupyx.scipy.ndimage",
}
"""What names in the source stand for, where they are not imported from SciPy or NumPy."""

OF_UFUNCS = {"out", "dtype", "casting"}
PLAIN = {"__name__", "__version__"}


def imported(tree: ast.AST) -> set[str]:
    """Names that mean a module of SciPy's or NumPy's in a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("scipy", "numpy")):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or "" for alias in node.names}
    return found


def path(node: ast.expr, foreign: set[str]) -> str | None:
    """Where an expression leads in CuPy: ``xp.cuda.Stream`` to ``cupy.cuda.Stream``."""
    match node:
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            by_call = isinstance(node, ast.Call)
            known = name in ROOTS and by_call == name.endswith(("namespace", "_module"))
            return ROOTS[name] if known and name not in foreign else None
        case ast.Call(func=ast.Name(id="_ndimage")):
            return ROOTS["_ndimage"]
        case ast.Attribute(value=value, attr=name):
            above = path(value, foreign)
            if above is not None:
                return f"{above}.{name}"
            held = isinstance(value, ast.Name) and value.id not in ("np", "numpy", "scipy")
            held = held or isinstance(value, ast.Attribute)
            return ROOTS[name] if held and name in ("xp", "_xp", "_fft") else None
    return None


def uses(source: str) -> Iterator[tuple[int, str, ast.Call | None]]:
    """Line, place in CuPy, and the call, of all that a file takes from it."""
    if not any(name in source for name in ROOTS):
        return
    tree = ast.parse(source)
    foreign, nodes = imported(tree), list(ast.walk(tree))
    calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            place = path(node, foreign)
            if place is not None:
                yield node.lineno, place, calls.get(id(node))


@cache
def resolve(place: str) -> object:
    parts = place.split(".")
    thing: object = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], 2):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            thing = importlib.import_module(".".join(parts[:number]))
    return thing


def complaint(place: str, call: ast.Call | None) -> str | None:
    """What CuPy would say to it."""
    if place.rpartition(".")[2] in PLAIN:
        return None
    try:
        thing = resolve(place)
    except (AttributeError, ImportError):
        return f"{place} does not exist"
    if call is None:
        return None
    given = {word.arg for word in call.keywords if word.arg is not None}
    if type(thing).__name__ == "ufunc":
        unknown = given - OF_UFUNCS
    else:
        try:
            parameters = inspect.signature(thing).parameters  # type: ignore[arg-type]
        except (TypeError, ValueError):
            head = (getattr(thing, "__doc__", None) or "").partition("\n\n")[0]
            unknown = {word for word in given if "(" in head and word not in head}
        else:
            kinds = [parameter.kind for parameter in parameters.values()]
            if inspect.Parameter.VAR_KEYWORD in kinds:
                return None
            unknown = given - set(parameters)
            places = len(kinds) - kinds.count(inspect.Parameter.KEYWORD_ONLY)
            any_number = inspect.Parameter.VAR_POSITIONAL in kinds
            any_number |= any(isinstance(value, ast.Starred) for value in call.args)
            if len(call.args) > places and not any_number:
                return f"{place} takes {places} arguments, and is given {len(call.args)}"
    return f"{place} has no {', '.join(sorted(unknown))}" if unknown else None


def complaints(source: str) -> list[str | None]:
    """A line for each use of CuPy: what is wrong with it, or None."""
    found = [(line, complaint(place, call)) for line, place, call in uses(source)]
    return [said and f"{line}: {said}" for line, said in found]


@pytest.fixture(scope="module", autouse=True)
def real_cupy() -> None:
    pytest.importorskip("cupy", reason="cupy is not installed: nothing to compare with")


def test_what_the_source_takes_from_cupy_is_there():
    wrong, seen = [], 0
    for file in SOURCES:
        said = complaints(file.read_text(encoding="utf-8"))
        seen += len(said)
        wrong += [f"{file.relative_to(REPOSITORY)}:{line}" for line in said if line]
    assert seen > 800
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("xp.nanpercentile_of(x)", "does not exist"),
        ("self._xp.cuda.Streams()", "does not exist"),
        ("namespace(x).trapz_of(x)", "does not exist"),
        ("xp.sum(x, where=y)", "has no where"),
        ("device.xp.sqrt(x, where=y)", "has no where"),
        ("xp.take(x, 1, mode='clip')", "has no mode"),
        ("fft.rfft(x, workers=2)", "has no workers"),
        ("fft_module(xp).irfft2(x, s=s, worker=1)", "has no worker"),
        ("xp.median(x, 0, None, False, False, 1)", "takes 5 arguments"),
    ],
)
def test_what_is_not_there_is_found(source, said):
    (found,) = complaints(source)
    assert found is not None
    assert said in found


def test_scipys_own_is_left_alone():
    assert not complaints("from scipy import fft\nfft.rfft(x, workers=2)\nnp.fft.fft(x, norm=1)")
    assert complaints("fft.rfft(x, n=2)") == [None]
