"""How fast an OME-Zarr pyramid of all levels is written, in what memory, and are its means exact.

All write the same 16-bit volume: chunks of 128, shards of 128 x 1024 x 1024 where they know shards,
blosc-zstd level 1 with bit shuffle in blocks of 2 MiB; from memory, from slices in uncompressed
TIFF, from a Zarr array in chunks of 128, and the other levels alone from a level 0 that is there.

Each build is a process of its own, which is warm (a small volume goes through first). ``peak`` is
the most memory of that process and of its children, with the interpreter and its packages; from
memory, without the volume. The error is the mean of the coarsest level less the exact mean, in grey
values: truncated means lose 0.44 a level.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
import zarr
from numpy.typing import NDArray

from benchmarks.common import measure, options, versions, write_table
from benchmarks.pyramid_peers import COMPRESSOR, LEVEL_PEERS, PEERS, VOXEL_UM
from hipct.exchange.source import open_volume_source
from hipct.volume.layer_stream import stream_layer
from hipct.volume.layout import PyramidSpec
from hipct.volume.pyramid import create_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_levels import build_levels
from hipct.volume.pyramid_source import ArraySource

SOURCES = {"memory": "volume.npy", "TIFF slices": "slices", "Zarr array": "array.zarr"}
LEVEL_0 = "level 0"
WARM = "warm"
PACKAGES = ["dask", "ngff-zarr", "ome-zarr", "stack-to-chunk", "stack_to_chunk", "tensorstore"]


def organ_like(n: int) -> NDArray[np.uint16]:
    """A sphere with shells, photon noise and nothing outside of the reconstructed circle."""
    rng = np.random.default_rng(0)
    volume = np.zeros((n, n, n), np.uint16)
    axis = (np.arange(n, dtype=np.float32) - (n - 1) / 2) / (n / 2)
    disc = axis[:, None] ** 2 + axis**2
    for z, height in enumerate(axis):
        radius = np.sqrt(disc + height * height)
        body = 24000 + 3000 * np.sin(40 * radius) * (radius < 0.8)
        noise = rng.normal(0, 700, (n, n)).astype(np.float32)
        volume[z] = np.where(disc <= 1, body + noise, 0)
    return volume


def by_hipct(given: Any, out: Path) -> None:
    if isinstance(given, np.ndarray):
        build_pyramid(ArraySource(given, VOXEL_UM), out)
        return
    with open_volume_source(given, voxel_um=VOXEL_UM) as opened:
        build_pyramid(opened, out)


def level_0_alone(given: NDArray[np.uint16], out: Path) -> None:
    spec = PyramidSpec(shape=given.shape, voxel_size_um=VOXEL_UM)
    create_pyramid(out, spec)
    for index in range(spec.layers(0)):
        layer = given[spec.levels[0].rows(index)]
        stream_layer(out, spec, 0, index, partial(_rows, layer), reduce=False)


def _rows(layer: NDArray[np.uint16], rows: slice) -> list[NDArray[np.uint16]]:
    return [layer[:, rows]]


def levels_by_hipct(_: Path, out: Path) -> None:
    build_levels(out)


WRITERS: dict[str, tuple[str, Callable[[Any, Path], None]]] = {
    "hipct": ("hipct", by_hipct),
    "hipct, level 0 alone": ("hipct", level_0_alone),
    **PEERS,
}
LEVEL_WRITERS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "hipct --levels": ("hipct", levels_by_hipct),
    **LEVEL_PEERS,
}


def write_sources(volume: NDArray[np.uint16], folder: Path) -> None:
    """The same voxels in every form that is read."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / SOURCES["memory"], volume)
    slices = folder / SOURCES["TIFF slices"]
    slices.mkdir()
    for number, image in enumerate(volume):
        tifffile.imwrite(slices / f"{number:05}.tif", image)
    stored = zarr.create_array(
        folder / SOURCES["Zarr array"],
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=tuple(min(128, n) for n in volume.shape),
        compressors=COMPRESSOR,
    )
    stored[...] = volume
    build_pyramid(ArraySource(volume, VOXEL_UM), folder / LEVEL_0)
    for coarser in (folder / LEVEL_0).glob("[1-9]"):
        shutil.rmtree(coarser)
    metadata = json.loads((folder / LEVEL_0 / "zarr.json").read_text())
    multiscale = metadata["attributes"]["ome"]["multiscales"][0]
    multiscale["datasets"] = multiscale["datasets"][:1]
    (folder / LEVEL_0 / "zarr.json").write_text(json.dumps(metadata))


def one(writer: str, form: str, folder: Path, out: Path) -> None:
    """One build, in this process: what it took, as JSON."""
    call = (LEVEL_WRITERS if form == LEVEL_0 else WRITERS)[writer][1]
    for place in (folder.with_name(WARM), folder):
        shutil.rmtree(out, ignore_errors=True)
        given: Any = place / (LEVEL_0 if form == LEVEL_0 else SOURCES[form])
        if form == LEVEL_0:
            shutil.copytree(given, out, copy_function=os.link)
        elif form == "memory":
            given = np.load(given)
        me = psutil.Process()
        before, start = _processor_time(me), time.perf_counter()
        call(given, out)
        seconds = time.perf_counter() - start
    peak = sum(_peak_bytes(p.pid) for p in [me, *me.children(recursive=True)])
    peak -= given.nbytes if isinstance(given, np.ndarray) else 0
    took = {"s": seconds, "cpu": _processor_time(me) - before, "peak": peak}
    print(json.dumps(took))


def _processor_time(process: psutil.Process) -> float:
    times = [p.cpu_times() for p in [process, *process.children(recursive=True)]]
    ended = process.cpu_times()
    return sum(t.user + t.system for t in times) + ended.children_user + ended.children_system


def _peak_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def mean_of_coarsest(out: Path) -> float:
    names = sorted(p.parent for p in out.rglob("zarr.json") if (p.parent / "c").is_dir())
    smallest = min((zarr.open_array(p, mode="r") for p in names), key=lambda a: a.size)
    return float(smallest[:].mean(dtype=np.float64))


def contenders() -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs of writer and input, and the writers that are not installed."""
    pairs, absent = [], []
    for writers, forms in ((WRITERS, list(SOURCES)), (LEVEL_WRITERS, [LEVEL_0])):
        for writer, (package, _) in writers.items():
            if importlib.util.find_spec(package) is None:
                absent.append(writer)
                continue
            pairs += [(writer, form) for form in forms if "alone" not in writer or form == "memory"]
    return sorted(pairs, key=lambda pair: [*SOURCES, LEVEL_0].index(pair[1])), absent


def main() -> None:
    if "--one" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--one", nargs=4)
        writer, form, folder, out = parser.parse_args().one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peers warn of is theirs
            one(writer, form, Path(folder), Path(out))
        return
    chosen = options(__doc__)
    rows: list[dict[str, object]] = []
    pairs, absent = contenders()
    with tempfile.TemporaryDirectory() as temporary:
        write_sources(organ_like(256), Path(temporary) / WARM)
        for n in (256,) if chosen.quick else (512, 1024):
            rows += measured(n, Path(temporary), pairs, chosen.repeats)
    facts = versions(PACKAGES) | {name: "absent" for name in absent}
    write_table("pyramid", rows, chosen, facts=facts)


def measured(
    n: int, temporary: Path, pairs: list[tuple[str, str]], repeats: int
) -> list[dict[str, object]]:
    """Rows of the table, of a volume of n^3 voxels."""
    folder, out = temporary / str(n), temporary / "out.ome.zarr"
    volume = organ_like(n)
    exact, nbytes = float(volume.mean(dtype=np.float64)), volume.nbytes
    write_sources(volume, folder)
    del volume
    took: dict[str, list[dict[str, float]]] = {f"{pair}": [] for pair in pairs}

    def build(pair: tuple[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.pyramid", "--one", *pair]
        done = subprocess.run(
            [*command, str(folder), str(out)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{pair} failed:\n{done.stderr[-3000:]}")
        run = json.loads(done.stdout.splitlines()[-1])
        took[f"{pair}"].append({**run, "error": mean_of_coarsest(out) - exact})

    def seconds(call: Callable[[], object]) -> float:
        call()
        return took[f"{call.args[0]}"][-1]["s"]  # type: ignore[attr-defined]

    calls = {f"{pair}": partial(build, pair) for pair in pairs}
    times = measure(calls, repeats=repeats, warm_up=False, clock=seconds)
    shutil.rmtree(folder)
    rows: list[dict[str, object]] = []
    for writer, form in pairs:
        ours = "hipct --levels" if form == LEVEL_0 else "hipct"
        time_of, runs = times[f"{(writer, form)}"], took[f"{(writer, form)}"]
        rows.append(
            {
                "from": form,
                "writer": writer,
                "voxels": f"{n}^3",
                "s": time_of.median,
                "CPU s": float(np.median([run["cpu"] for run in runs])),
                "MB/s": nbytes / 1e6 / time_of.median,
                "times hipct": time_of.median / times[f"{(ours, form)}"].median,
                "spread": time_of.spread,
                "peak MiB": round(max(run["peak"] for run in runs) / 2**20),
                "error": "" if "alone" in writer else runs[-1]["error"],
            }
        )
    return rows


if __name__ == "__main__":
    main()
