"""Amounts of memory: read from words, and how much of it this process may take."""

from __future__ import annotations

import re
from pathlib import Path

from hipct.core.errors import ConfigError

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_FACTORS |= {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("kmgt", start=1)}
_AMOUNT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]i?)?b?", re.IGNORECASE | re.ASCII)
_UNLIMITED = 2**60
"""Limits at and above this are how control groups say that there is none."""

ALLOWED_BYTES = (
    "a number of bytes above 0, or one with a unit such as 8GB (1e9), 16GiB (2**30), 500MB"
)


def parse_bytes(amount: str | int) -> int:
    """Bytes of an amount such as ``"8GB"``: GB is 1e9 bytes, GiB is 2**30.

    Raises
    ------
    ConfigError
        If the amount is not a number with a known unit, or not above 0.

    Examples
    --------
    >>> parse_bytes("8GB"), parse_bytes("1.5 GiB"), parse_bytes(4096)
    (8000000000, 1610612736, 4096)
    """
    size = 0
    if isinstance(amount, str):
        match = _AMOUNT.fullmatch(amount.strip())
        if match:
            size = int(float(match[1]) * _FACTORS[(match[2] or "").lower()])
    elif isinstance(amount, int) and not isinstance(amount, bool):
        size = amount
    if size <= 0:
        raise ConfigError(f"An amount of memory is {amount!r}; allowed is {ALLOWED_BYTES}.")
    return size


def format_bytes(size: float) -> str:
    """Bytes in words, with decimal units.

    Examples
    --------
    >>> format_bytes(8_000_000_000), format_bytes(1536)
    ('8.0 GB', '1.5 kB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def free_memory() -> int:
    """Bytes that this process could still take: what is free, within its control group.

    A batch system grants a job less than the machine has, and says so only in the job's control
    group.
    """
    import psutil

    return max(0, min(int(psutil.virtual_memory().available), _free_in_group()))


def _free_in_group(
    root: Path = Path("/sys/fs/cgroup"), me: Path = Path("/proc/self/cgroup")
) -> int:
    """Smallest room left in the control groups (version 2) around this process."""
    try:
        unified = [line[3:] for line in me.read_text().splitlines() if line.startswith("0::")]
    except OSError:
        return _UNLIMITED
    group = root / unified[0].strip("/") if unified else root
    if not group.is_relative_to(root) or not group.is_dir():
        group = root
    folders = [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return min(_room(folder) for folder in folders)


def _room(group: Path) -> int:
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return _UNLIMITED
        used = int((group / "memory.current").read_text())
        statistics = (group / "memory.stat").read_text().split()
        # Pages of files that nobody has used lately are given back on demand.
        cached = dict(zip(statistics[::2], statistics[1::2])).get("inactive_file", "0")
        return int(limit) - used + int(cached)
    except (OSError, ValueError):
        return _UNLIMITED
