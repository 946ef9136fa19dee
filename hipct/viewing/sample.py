"""Sample data of the plugin: a simulated organ, and a simulated scan that is reconstructed live."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.progress import Observer
from hipct.simulation.anatomy import build_organ
from hipct.simulation.organ import Organ
from hipct.simulation.scan import delta_per_mu_cm, simulate_scan
from hipct.viewing.plugin import layer_tuple, window_of_napari
from hipct.viewing.progress import in_background
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

_COLUMNS, _ROWS, _ANGLES, _PIXEL_UM, _SEED = 192, 96, 300, 20.0, 1
_RADIUS_UM = 0.4 * _COLUMNS * _PIXEL_UM
_folders: list[tempfile.TemporaryDirectory[str]] = []
"""Until napari ends: layers read from them."""


def sample_organ() -> list[Any]:
    """The true organ of a simulated scan, as the pyramid of OME-Zarr that hipct would write."""
    return [_true_organ(_organ(), _folder(), "Simulated organ")]


def sample_scan() -> list[Any]:
    """A simulated scan of that organ: the truth at once, the live scan when it is there."""
    organ, folder = _organ(), _folder()
    viewer = window_of_napari("A live scan")

    def simulate(observer: Observer) -> Path:
        return simulate_scan(
            folder / "Simulated scan.zarr",
            acquisition="full",
            columns=_COLUMNS,
            rows=_ROWS,
            angles=_ANGLES,
            pixel_size_um=_PIXEL_UM,
            seed=_SEED,
            organ=organ,
            observer=observer,
        )

    def show(scan: Path) -> None:
        from hipct.viewing.live import add_live

        add_live(viewer, scan, name="Simulated scan, live")

    in_background("Simulating a scan", simulate, show)
    return [_true_organ(organ, folder, "Truth of the simulated scan")]


def _organ() -> Organ:
    organ = build_organ(_RADIUS_UM, seed=_SEED)
    return organ.with_delta(delta_per_mu_cm(1500.0, 90.0))


def _true_organ(organ: Organ, folder: Path, name: str) -> Any:
    def centres(count: int) -> NDArray[Any]:
        return (np.arange(count) - (count - 1) / 2) * _PIXEL_UM

    across = centres(_COLUMNS)
    truth = organ.volume(centres(_ROWS), across, across, voxel_um=_PIXEL_UM, supersampling=2)
    path = folder / f"{name}.ome.zarr"
    write_pyramid(truth, path, voxel_size_um=_PIXEL_UM, window=(-0.05, 0.13), chunk=64)
    return layer_tuple(open_volume(path), name=name)


def _folder() -> Path:
    _folders.append(tempfile.TemporaryDirectory(prefix="hipct-sample-", ignore_cleanup_errors=True))
    return Path(_folders[-1].name)
