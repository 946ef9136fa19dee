"""Amounts of memory, and how much of it may be taken."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipct.core import memory
from hipct.core.errors import ConfigError
from hipct.core.memory import format_bytes, free_memory, parse_bytes


@pytest.mark.parametrize(
    ("amount", "size"),
    [
        ("8GB", 8 * 10**9),
        ("8gib", 8 * 2**30),
        ("1.5 GiB", 3 * 2**29),
        ("500 MB", 500 * 10**6),
        ("2TB", 2 * 10**12),
        ("4k", 4000),
        ("123", 123),
        (" 1B ", 1),
        (7, 7),
    ],
)
def test_amounts(amount: str | int, size: int) -> None:
    assert parse_bytes(amount) == size


@pytest.mark.parametrize(
    "amount", ["", "GB", "8XB", "-1GB", "0", "0.1B", 0, -5, True, None, 2.5, "8 G B", "1e9", "٣GB"]
)
def test_other_amounts_are_refused(amount: object) -> None:
    with pytest.raises(
        ConfigError, match=r"An amount of memory is .* allowed is a number of bytes"
    ):
        parse_bytes(amount)


@given(st.integers(min_value=1, max_value=10**15))
def test_printed_sizes_are_read_back(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == pytest.approx(size, rel=0.06)


def group(folder: Path, limit: str, used: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    (folder / "memory.current").write_text(f"{used}\n", encoding="ascii")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n", encoding="ascii")


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    root, me = tmp_path / "cgroup", tmp_path / "me"
    me.write_text("1:name=systemd:/x\n0::/job/step\n", encoding="ascii")
    group(root, "max", 0)
    group(root / "job", "1000", 300, cached=100)
    group(root / "job" / "step", "max", 200)
    assert memory._free_in_group(root, me) == 800
    group(root / "job" / "step", "600", 200)
    assert memory._free_in_group(root, me) == 400


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert memory._free_in_group(tmp_path, tmp_path / "absent") == memory._UNLIMITED
    (tmp_path / "me").write_text("0::/../../elsewhere\n", encoding="ascii")
    assert memory._free_in_group(tmp_path, tmp_path / "me") == memory._UNLIMITED
    assert 0 < free_memory() <= psutil.virtual_memory().total
