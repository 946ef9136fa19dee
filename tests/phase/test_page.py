"""The figures of docs/phase.md are those of the benchmark that it names, and its rule follows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OBJECTS = {"weak (0.5 rad)": "weak", "tissue (30 rad)": "tissue", "strong (60 rad)": "strong"}
PHOTONS = "100000 photons"
NUMBERS = (0.1, 0.3, 1.0, 3.0, 10.0, 50.0)


def results(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["rows"]


@pytest.fixture(scope="module")
def page():
    return " ".join((ROOT / "docs" / "phase.md").read_text().split())


@pytest.fixture(scope="module")
def error():
    table = {(r["object"], r["lambda z / p^2"], r["noise"]): r for r in results("phase_methods")}

    def of(name, number, method, noise="none"):
        return table[name, number, noise][method]

    of.rows = table
    return of


@pytest.fixture(scope="module")
def gain(error):
    """How many times less a method errs than Paganin's filter, at some numbers."""

    def of(names, numbers, method, noise="none"):
        return [
            error(name, number, "paganin", noise) / error(name, number, method, noise)
            for name in names
            for number in numbers
        ]

    return of


def agree(said, value):
    """Whether a figure is a value rounded to as many digits as it has."""
    decimals = len(said.partition(".")[2])
    return abs(float(said) - value) <= 0.501 * 10**-decimals


def figures(page, pattern):
    found = re.search(pattern, page)
    assert found, pattern
    return found.groups()


def test_the_benchmark_covers_the_regimes(error):
    for name in ("weak", "mixed", "tissue", "strong"):
        assert {number for thing, number, _ in error.rows if thing == name} == set(NUMBERS)


def test_the_table_shows_the_errors_of_the_benchmark(error):
    lines = (ROOT / "docs" / "phase.md").read_text().splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("| object |"))
    methods = [cell.strip() for cell in lines[first].strip("|").split("|")[2:]]
    name, seen = "", 0
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        thing, number, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        name = OBJECTS[thing] if thing else name
        for method, cell in zip(methods, cells, strict=True):
            value = 100 * error(name, float(number), method)
            assert agree(cell, value), (line, method, value)
            seen += 1
    assert seen >= 27


def test_where_paganin_is_to_be_taken_nothing_is_much_better(page, error, gain):
    (bound,) = figures(page, r"at 0\.1 nothing errs less by more than (\d+) %")
    single = ("generalised", "ctf", "ctf_homogeneous", "nonlinear")
    names = ("weak", "mixed", "tissue", "strong")
    most = max(max(gain(names, [0.1], method)) for method in single)
    assert 1 - 1 / most <= float(bound) / 100
    without, noisy = figures(
        page, r"at 0\.3 `nonlinear` does, by ([\d.]+) without noise and at most ([\d.]+) with it"
    )
    assert agree(without, max(gain(names, [0.3], "nonlinear")))
    assert agree(noisy, max(gain(("tissue", "strong"), [0.3], "nonlinear", PHOTONS)))
    (little,) = figures(page, r"from one distance no method has (\d+) % less")
    for method in single:
        gains = gain(("weak", "mixed"), NUMBERS, method, PHOTONS)
        assert max(gains) < 1 / (1 - float(little) / 100)


def test_where_another_is_to_be_taken_it_errs_less(page, gain):
    at_3, at_10 = figures(page, r"([\d.]+) times less error at 3, ([\d.]+) at 10 and 50")
    first, second, third = gain(["weak"], [3.0, 10.0, 50.0], "ctf_homogeneous")
    assert agree(at_3, first)
    assert agree(at_10, second)
    assert agree(at_10, third)
    far = [1.0, 3.0, 10.0, 50.0]
    least, most, noisy_least, noisy_most = figures(
        page, r"([\d.]+) to ([\d.]+) times less error without noise, ([\d.]+) to ([\d.]+) with it"
    )
    clean = gain(("tissue", "strong"), far, "nonlinear")
    noisy = gain(("tissue", "strong"), far, "nonlinear", PHOTONS)
    assert agree(least, min(clean))
    assert agree(most, max(clean))
    assert agree(noisy_least, min(noisy))
    assert agree(noisy_most, max(noisy))
    least, most = figures(page, r"([\d.]+) to ([\d.]+) times less error in noise, of which 1\.4")
    two = gain(("weak", "mixed"), NUMBERS, "ctf_homogeneous, 2 z", PHOTONS)
    assert agree(least, min(two))
    assert agree(most, max(two))


def test_slices_are_those_of_the_benchmark(page):
    table = {(r["lambda z / p^2"], r["noise"]): r for r in results("phase_methods_slices")}
    noises = {"no noise": "none", "1 000 000": "1e+06 photons", "100 000": PHOTONS}
    methods = ("paganin", "ctf_homogeneous", "ctf_homogeneous, regularisation 0.3")
    pattern = r"\| (\d*) ?\| (no noise|1 000 000|100 000) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|"
    number, seen = 0.0, 0
    for found in re.finditer(pattern, page):
        first, noise, *cells = found.groups()
        number = float(first) if first else number
        row = table[number, noises[noise]]
        assert all(agree(cell, 100 * row[name]) for cell, name in zip(cells, methods)), found
        seen += 1
    assert seen == len(table) == 9
    clean = {n: table[n, "none"] for n in (3.0, 10.0, 50.0)}
    said = figures(page, r"without noise; ([\d.]+), ([\d.]+) and ([\d.]+) in slices")
    for figure, row in zip(said, clean.values(), strict=True):
        assert agree(figure, row["paganin"] / row["ctf_homogeneous"])
    assert table[3.0, PHOTONS]["best"] == table[10.0, PHOTONS]["best"] == "paganin"
    (gain,) = figures(page, r"of 0\.3 \| ([\d.]+) times less error in slices")
    assert agree(gain, table[50.0, PHOTONS]["paganin"] / table[50.0, PHOTONS][methods[2]])


def test_what_a_mask_does_is_that_of_the_benchmark(page):
    rows = {
        row["method"]: row for row in results("phase_methods_materials") if row["noise"] == PHOTONS
    }
    bands = ("error within 8 px of bone's surface", "8 to 24 px from it", "farther")
    said = {
        "`paganin` with tissue's ratio": "paganin, tissue",
        "`paganin` with the ratio of bone in tissue": "paganin, bone in tissue",
        "`multi_material`": "multi_material",
        "its mask moved by 3 px in both directions": "multi_material, mask 3 px off",
        "a tenth of its mask missing": "multi_material, 10 % of the mask missing",
        "a mask of bone alone, without what is around it": "multi_material, mask of bone alone",
    }
    for words, method in said.items():
        found = figures(page, rf"\| {re.escape(words)} \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|")
        assert all(agree(one, 100 * rows[method][band]) for one, band in zip(found, bands))
    near = {method: row[bands[0]] for method, row in rows.items()}
    whole = near["paganin, tissue"] - near["multi_material"]
    for wrong in ("multi_material, mask 3 px off", "multi_material, 10 % of the mask missing"):
        assert near["paganin, tissue"] - near[wrong] > 0.8 * whole
    (blur,) = figures(page, r"the same pixels are off by (\d+) % around bone")
    plain = next(
        row for row in results("phase_methods_materials") if row["method"].startswith("no prop")
    )
    assert agree(blur, 100 * plain[bands[0]])


def test_where_none_helps_it_is_said(page, error):
    best = [100 * min(_singles(error, name, 50.0)) for name in ("tissue", "strong")]
    plain = [100 * error(name, 50.0, "paganin") for name in ("tissue", "strong")]
    said = figures(
        page, r"stay wrong by (\d+) to (\d+) % with the best method and by (\d+) to (\d+) %"
    )
    assert all(agree(each, value) for each, value in zip(said, [*best, *plain], strict=True))
    (shared,) = figures(page, r"share one error at low frequencies \((\d+) % at 0\.1\)")
    assert all(agree(shared, 100 * each) for each in _singles(error, "mixed", 0.1))


def _singles(error, name, number):
    methods = ("paganin", "ctf", "ctf_homogeneous", "nonlinear")
    return [error(name, number, method) for method in methods]
