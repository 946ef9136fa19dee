"""A small organ from nothing: simulated, reconstructed, compared with its truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hipct.acquisition.open import open_scan
from hipct.core.errors import OutputError
from hipct.core.files import write_json
from hipct.core.progress import Observer, Silent
from hipct.pipeline.config import Config
from hipct.pipeline.engine import make_reconstructor
from hipct.pipeline.estimates import prepared_rows
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.run import reconstruct
from hipct.pipeline.slabs import SlabChain
from hipct.pipeline.work import RunResult
from hipct.simulation.scan import simulate_scan
from hipct.simulation.truth import load_truth
from hipct.volume.open import open_volume
from hipct.volume.pictures import grey, panels, write_png
from hipct.volume.window import circle

MARK = "demo.json"
EDGE_PX = 4
ENLARGED = 3
AXIS = 0.8
"""Of the width, so that two fifths are seen twice: the 12 % of the median half-acquisition would be
too few of 192 columns to find the axis by."""
PHOTONS = 50_000.0
SETTINGS = {"rings": {"method": "sorting"}}


@dataclass(frozen=True)
class DemoResult:
    """What a demo made and how good it is.

    Attributes
    ----------
    volume, slices, phase_effect : str
        The volume, a PNG of three orthogonal slices of it, and a PNG of one slice without and with
        phase retrieval beside the truth.
    axis_px, true_axis_px : float
        Rotation axis found and true, in detector columns.
    tissue_per_cm : float
        Median of the true tissue in that slice, in 1/cm.
    rms, rms_without_phase : float
        Difference to the truth inside of the organ, 4 pixels and more from true edges, relative to
        the tissue.
    """

    volume: str
    slices: str
    phase_effect: str
    axis_px: float
    true_axis_px: float
    tissue_per_cm: float
    rms: float
    rms_without_phase: float


def run_demo(
    out: str | Path,
    *,
    columns: int = 192,
    rows: int = 128,
    angles: int = 400,
    observer: Observer | None = None,
) -> tuple[DemoResult, RunResult]:
    """Simulate a small half-acquisition scan of an organ and reconstruct it.

    Parameters
    ----------
    out : path
        Folder for all that is made. One that an earlier demo has filled is used again.
    columns, rows, angles : int
        Size of the scan.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    OutputError
        If the folder holds anything else.
    """
    observer = observer or Silent()
    out = Path(out)
    _take_folder(out)
    store = simulate_scan(
        out / "scan.zarr",
        acquisition="half",
        columns=columns,
        rows=rows,
        angles=angles,
        axis=AXIS * columns,
        noise=PHOTONS,
        overwrite=True,
        observer=observer,
    )
    result = reconstruct(
        store,
        out / "organ.ome.zarr",
        Config(**SETTINGS),
        overwrite=True,
        restart=True,
        observer=observer,
    )
    slices = result.preview.replace(out / "slices.png")
    truth = load_truth(store)
    row = rows // 2
    true = truth.volume(slice(row, row + 1))[0]
    with_phase = open_volume(result.path).physical(0, row)
    without = _without_phase(store, row, result.axis)
    # An axis that was found a little off makes slices of another width.
    size = min(plane.shape[0] for plane in (true, with_phase, without))
    true, with_phase, without = (_centre(plane, size) for plane in (true, with_phase, without))
    effect = out / "phase-effect.png"
    tissue = float(np.median(true[true > 0.25 * true.max()]))
    _draw(effect, without, with_phase, true, tissue)
    demo = DemoResult(
        volume=str(result.path),
        slices=str(slices),
        phase_effect=str(effect),
        axis_px=round(result.axis, 3),
        true_axis_px=round(truth.setup.axis_px, 3),
        tissue_per_cm=round(tissue, 4),
        rms=round(rms_inside(with_phase, true, tissue), 4),
        rms_without_phase=round(rms_inside(without, true, tissue), 4),
    )
    write_json(out / MARK, asdict(demo))
    return demo, result


def rms_inside(image: NDArray[np.float32], true: NDArray[np.float32], tissue: float) -> float:
    """Rms difference to the truth inside of the body, away from its edges, relative to ``tissue``.

    Parameters
    ----------
    image, true : (n, n) float32
        A slice and its truth.
    tissue : float
        Level that the difference is divided by.
    """
    steps = ndimage.maximum_filter(true, 3) - ndimage.minimum_filter(true, 3)
    edges = ndimage.binary_dilation(steps > 0.05 * tissue, iterations=EDGE_PX)
    body = (true > 0.25 * tissue) & ~edges
    if not body.any():
        return float("nan")
    difference = image[body].astype(np.float64) - true[body]
    return float(np.sqrt(np.mean(difference**2)) / tissue)


def _take_folder(out: Path) -> None:
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(
            f"{out} exists and was not made by the demo; choose another folder with --out."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / MARK, {})


def _without_phase(store: Path, row: int, axis: float) -> NDArray[np.float32]:
    """The same slice by the same steps except phase retrieval."""
    with open_scan(store) as scan:
        job = resolve(scan, Config(phase={"method": "none"}, **SETTINGS))
        lines = prepared_rows(scan, job, range(row, row + 1), StageClock())
        part = Part(job, axis)
        chain = SlabChain(part, make_reconstructor(part), StageClock())
        plane: NDArray[np.float32] = chain.slices(lines)[0]
        if job.config.reconstruction.circle:
            plane *= circle(len(plane), len(plane), part.measured_radius_px)
    return plane


def _draw(
    path: Path,
    without: NDArray[np.float32],
    with_phase: NDArray[np.float32],
    true: NDArray[np.float32],
    tissue: float,
) -> None:
    """The three slices on one grey scale, and below them where most is to be seen, enlarged."""
    low, high = -0.4 * tissue, 1.8 * tissue
    slices = [grey(plane, low, high) for plane in (without, with_phase, true)]
    y, x, edge = _busiest(true, true.shape[0] // ENLARGED)
    details = [
        np.kron(plane[y : y + edge, x : x + edge], np.ones((ENLARGED, ENLARGED), np.uint8))
        for plane in slices
    ]
    captions = ["without phase retrieval", "with phase retrieval", "truth"]
    captions += [f"a part of it, {ENLARGED} x"] * 3
    write_png(path, panels([*slices, *details], captions, columns=3))


def _busiest(true: NDArray[np.float32], edge: int) -> tuple[int, int, int]:
    """Corner and edge of the square with most detail that is no outer face of the body."""
    inner = np.maximum(true, np.median(true[true > 0]))
    detail = ndimage.uniform_filter(ndimage.gaussian_gradient_magnitude(inner, 1.0), edge)
    inside = (slice(edge // 2, true.shape[0] - (edge - edge // 2) + 1),) * 2
    place = np.unravel_index(int(np.argmax(detail[inside])), detail[inside].shape)
    return int(place[0]), int(place[1]), edge


def _centre(plane: NDArray[Any], size: int) -> NDArray[Any]:
    """Middle ``size`` x ``size`` pixels of a square plane."""
    first = (plane.shape[0] - size) // 2
    return plane[first : first + size, first : first + size]
