"""Source files as beamlines write them, made small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

NX_KEYS = [2, 2, 1, 1, 0, 0, 0, 3, 0, 0, 1, 0, 2]


@dataclass
class NxSpec:
    """What to write into an NXtomo file; ``None`` leaves a thing out."""

    keys: list[int] = field(default_factory=lambda: list(NX_KEYS))
    control: list[int] | None = None
    rows: int = 5
    columns: int = 12
    angles: Any = None
    angle_unit: Any = "degree"
    entry: str = "entry0000"
    detector: dict[str, Any] = field(default_factory=dict)
    sample: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    beam: dict[str, Any] = field(default_factory=dict)
    beam_path: str = "instrument/beam"
    current: Any = None
    current_unit: Any = "A"
    dtype: str = "uint16"
    chunks: Any = None
    text: Callable[[str], Any] = str


def put(group: h5py.Group, values: dict[str, Any]) -> None:
    """Write ``name: value`` or ``name: (value, unit)``."""
    for name, given in values.items():
        value, unit = given if isinstance(given, tuple) else (given, None)
        group[name] = value
        if unit is not None:
            group[name].attrs["units"] = unit


def frames_of(spec: NxSpec) -> np.ndarray:
    rng = np.random.default_rng(7)
    shape = (len(spec.keys), spec.rows, spec.columns)
    return rng.integers(0, 60000, shape).astype(spec.dtype)


def write_nxtomo(path: Path, mode: str = "w", **values: Any) -> np.ndarray:
    """Write a file as NxSpec says; returns all frames, in the order of acquisition."""
    spec = NxSpec(**values)
    frames = frames_of(spec)
    angles = np.linspace(0, 180, len(spec.keys)) if spec.angles is None else spec.angles
    with h5py.File(path, mode) as file:
        entry = file.create_group(spec.entry)
        entry.attrs["NX_class"] = spec.text("NXentry")
        entry["definition"] = spec.text("NXtomo")
        for name, nx_class in (
            ("instrument", "NXinstrument"),
            ("instrument/detector", "NXdetector"),
            ("instrument/source", "NXsource"),
            ("sample", "NXsample"),
            ("control", "NXmonitor"),
        ):
            entry.create_group(name).attrs["NX_class"] = spec.text(nx_class)
        detector = entry["instrument/detector"]
        detector.create_dataset("data", data=frames, chunks=spec.chunks)
        detector["image_key"] = spec.keys
        if spec.control is not None:
            detector["image_key_control"] = spec.control
        put(detector, spec.detector)
        entry["sample/rotation_angle"] = angles
        if spec.angle_unit is not None:
            entry["sample/rotation_angle"].attrs["units"] = spec.angle_unit
        put(entry["sample"], spec.sample)
        put(entry["instrument/source"], spec.source)
        put(entry.require_group(spec.beam_path), spec.beam)
        if spec.current is not None:
            put(entry["control"], {"data": (spec.current, spec.current_unit)})
    return frames


def write_dxchange(
    path: Path,
    *,
    shape: tuple[int, int, int] = (9, 4, 10),
    theta: Any = "default",
    unit: str | None = "degrees",
    flats: int = 3,
    darks: int = 2,
    extra: Callable[[h5py.File], None] | None = None,
    dtype: str = "uint16",
) -> np.ndarray:
    rng = np.random.default_rng(3)
    data = rng.integers(0, 60000, shape).astype(dtype)
    with h5py.File(path, "w") as file:
        file["exchange/data"] = data
        if flats:
            file["exchange/data_white"] = rng.integers(0, 255, (flats, *shape[1:])).astype(dtype)
        if darks:
            file["exchange/data_dark"] = rng.integers(0, 255, (darks, *shape[1:])).astype(dtype)
        if isinstance(theta, str):
            theta = np.linspace(0, 180, shape[0], endpoint=False)
        if theta is not None:
            file["exchange/theta"] = theta
            if unit is not None:
                file["exchange/theta"].attrs["units"] = unit
        if extra is not None:
            extra(file)
    return data


@pytest.fixture
def nxtomo() -> Callable[..., np.ndarray]:
    """``nxtomo(path, **values of NxSpec)`` writes a file and returns its frames."""
    return write_nxtomo


@pytest.fixture
def dxchange() -> Callable[..., np.ndarray]:
    """``dxchange(path, ...)`` writes a file and returns its projections."""
    return write_dxchange
