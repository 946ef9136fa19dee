"""How an export reads and what it leaves: chunks once, memory bounded, whole or absent."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

from hipct.core.errors import OutputError, PlanError
from hipct.core.progress import Silent
from hipct.exchange import export_bands
from hipct.exchange.export import export_volume
from hipct.storage.chunk_reader import ChunkReader
from hipct.volume.pyramid import write_pyramid

SHAPE = (90, 240, 250)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    # Few bits a voxel: the chunks are worth decoding, and made in no time.
    return np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.uint16)


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("bands") / "organ.ome.zarr"
    write_pyramid(values, path, voxel_size_um=10.0, chunk=32)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, ...]]:
    """How often each chunk is decoded."""
    count: Counter[tuple[int, ...]] = Counter()
    decode = ChunkReader._chunk

    def counted(reader: ChunkReader, place: tuple[int, ...]) -> np.ndarray:
        count[place] += 1
        return decode(reader, place)

    monkeypatch.setattr(ChunkReader, "_chunk", counted)
    return count


@pytest.mark.parametrize("memory", [2**31, 4_000_000, 1_400_000])
@pytest.mark.parametrize("kind", ["tiff", "bigtiff", "hdf5", "nifti"])
def test_every_chunk_is_decoded_once(
    organ: Path,
    values: np.ndarray,
    tmp_path: Path,
    *,
    kind: str,
    memory: int,
    decoded: Counter[tuple[int, ...]],
) -> None:
    """Within the memory and through a file; a crop that begins and ends inside of chunks."""
    if kind == "nifti":
        pytest.importorskip("nibabel", reason="nibabel is not installed")
    out = tmp_path / "out.nii"
    export_volume(organ, out, format=kind, crop="5:70,33:200,1:130", memory_bytes=memory)
    assert set(decoded) == set(product(range(3), range(1, 7), range(5)))
    assert set(decoded.values()) == {1}
    expected = values[5:70, 33:200, 1:130]
    if kind == "tiff":
        again = tifffile.imread(sorted(out.glob("*.tif")))
    elif kind == "bigtiff":
        again = tifffile.imread(out)
    elif kind == "hdf5":
        again = h5py.File(out)["data"][...]
    else:
        again = np.frombuffer(out.read_bytes()[352:], "<u2").reshape(expected.shape)
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize(
    ("kind", "budget"),
    [("tiff", 4_000_000), ("bigtiff", 8_000_000), ("hdf5", 8_000_000), ("nifti", 4_000_000)],
)
def test_the_memory_is_bounded_whatever_the_volume(
    organ: Path, tmp_path: Path, kind: str, budget: int
) -> None:
    """Bands of 3.8 MB in memory, and in a file; what zarr and tifffile keep is in it.

    In a process of its own: the tracer counts whatever any thread of a process takes.
    """
    if kind == "nifti":
        pytest.importorskip("nibabel", reason="nibabel is not installed")
    out = tmp_path / "out.nii"
    program = (
        "import tracemalloc\n"
        "from hipct.exchange.export import export_volume\n"
        f"export_volume({str(organ)!r}, {str(tmp_path / 'warm.nii')!r}, format={kind!r}, level=2)\n"
        "tracemalloc.start()\n"
        f"export_volume({str(organ)!r}, {str(out)!r}, format={kind!r}, memory_bytes={budget})\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    peak = int(subprocess.check_output([sys.executable, "-c", program]))
    assert out.exists()
    assert np.prod(SHAPE) * 2 > budget
    assert peak < budget


def test_a_memory_that_holds_nothing_is_refused(organ: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"needs .* kB of memory and may take 100\.0 kB; give more"):
        export_volume(organ, tmp_path / "out", format="tiff", memory_bytes=100_000)
    assert not list(tmp_path.iterdir())


def test_the_observer_hears_of_every_slice(organ: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, int]] = []

    class Ear(Silent):
        def start(self, stage: str, total: int) -> None:
            heard.append((f"start {stage}", total))

        def advance(self, stage: str, steps: int = 1) -> None:
            heard.append((stage, steps))

        def finish(self, stage: str) -> None:
            heard.append((f"finish {stage}", 0))

    export_volume(organ, tmp_path / "out", format="hdf5", crop="7:,:40,:40", observer=Ear())
    assert heard[0] == ("start export", 83)
    assert heard[-1] == ("finish export", 0)
    assert sum(steps for stage, steps in heard if stage == "export") == 83


def test_a_full_disk_leaves_nothing(
    organ: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_bands.os, "pwrite", full)
    with pytest.raises(OutputError, match="No space left on device; free space there"):
        export_volume(organ, tmp_path / "out", format="tiff", memory_bytes=4_000_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["tiff", "hdf5", "bigtiff", "nifti"])
def test_a_file_that_may_not_grow_is_one_sentence_and_leaves_nothing(
    organ: Path, tmp_path: Path, kind: str
) -> None:
    """The libraries of the formats meet the real refusal; a limit of sizes stands for a disk."""
    resource = pytest.importorskip("resource")
    out = tmp_path / ("out.nii" if kind == "nifti" else "out")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            export_volume(organ, out, format=kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert re.search(
        r"could not be written: (File too large|No space left on device)", str(caught.value)
    )
    assert "file descriptor" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["tiff", "hdf5"])
def test_a_killed_export_has_no_name_and_the_next_one_is_whole(
    organ: Path, values: np.ndarray, tmp_path: Path, kind: str
) -> None:
    """SIGKILL in the middle of the slices; nothing of ours can run after it."""
    out = tmp_path / "out"
    program = (
        "import sys, time\n"
        "from hipct.core.progress import Silent\n"
        "from hipct.exchange.export import export_volume\n"
        "class Slow(Silent):\n"
        "    def advance(self, stage, steps=1):\n"
        "        sys.stdout.write('band\\n'); sys.stdout.flush(); time.sleep(60)\n"
        f"export_volume({str(organ)!r}, {str(out)!r}, format={kind!r}, observer=Slow())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"band\n"
        child.send_signal(signal.SIGKILL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.partial"]
    started = time.time()
    export_volume(organ, out, format=kind)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    files = [out, *out.glob("*")]
    assert all(file.stat().st_mtime >= started - 1 for file in files)
    if kind == "tiff":
        np.testing.assert_array_equal(tifffile.imread(sorted(out.glob("*.tif"))), values)
