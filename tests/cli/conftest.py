"""A small scan as a file, as a beamline might hand it over, and the command line in process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from hipct.cli.main import main

AXIS = 24.4
MU = 0.02


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def hipct(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command line: ``hipct("plan", scan)`` gives exit code, output and errors."""

    def call(*words: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DXchange file of a cylinder of 0.02 per pixel with a hole, axis at 24.4, no energy."""
    angles, rows, columns = 90, 20, 50
    theta = np.arange(angles) * 180 / angles
    u = np.arange(columns) - AXIS
    lines = np.empty((angles, rows, columns))
    for k, angle in enumerate(np.deg2rad(theta)):
        hole = u - 8 * np.cos(angle) - 3 * np.sin(angle)
        lines[k] = (
            MU
            * 2
            * (np.sqrt(np.maximum(20.0**2 - u**2, 0)) - np.sqrt(np.maximum(5.0**2 - hole**2, 0)))
        )
    path = tmp_path_factory.mktemp("scan") / "cylinder.h5"
    with h5py.File(path, "w") as file:
        file["exchange/data"] = np.rint(100 + 20_000 * np.exp(-lines)).astype(np.uint16)
        file["exchange/data_white"] = np.full((5, rows, columns), 20_100, np.uint16)
        file["exchange/data_dark"] = np.full((5, rows, columns), 100, np.uint16)
        file["exchange/theta"] = theta
    return path
