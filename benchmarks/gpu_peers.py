"""Filtered back-projection by other packages on the same device, on the arrays that hipct takes.

Each context gives the calls that are timed; or raises :class:`LeftOut`, with the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, fft_module, namespace
from hipct.reconstruction.geometry import Geometry

EPS = 1e-3
POINT_BYTES = 4 << 30
"""Samples of all transforms of one call of cuFINUFFT."""

LARGEST_ASTRA = 2e11
"""Updates of a slice that ASTRA is timed with: some seconds a call beyond."""

ANGLES_AT_A_TIME = 64


class LeftOut(Exception):
    """Why a peer is not measured; a sentence without its name."""


@dataclass(frozen=True)
class Peer:
    """What of a peer is timed."""

    calls: Mapping[str, Callable[[], object]]
    slices: int
    """Slices of a call."""
    first_slice: Callable[[], NDArray[np.float32]]
    """The first slice of the last call."""


@contextmanager
def cufinufft(geometry: Geometry, lines: Array) -> Iterator[Peer]:
    """cuFINUFFT: type-1 transform of the filtered spectra, two real slices a complex one.

    The plan and its points are made once, as are the factors of the spectra.
    """
    package, xp = _package("cufinufft"), namespace(lines)
    n, length, angles = geometry.columns, geometry.length, geometry.angles.size
    points = angles * (length + 1)
    transforms = max(1, min(len(lines) // 2, POINT_BYTES // (8 * points)))
    if len(lines) < 2:
        raise LeftOut("it takes two slices at a time, and there is one")
    x, y, factors = _samples(xp, geometry)
    plan = package.Plan(1, (n, n), transforms, EPS, 1, "complex64")
    plan.setpts(y, x)
    padded = xp.zeros((transforms, angles, length), np.complex64)
    padded[:, :, :n] = lines[: 2 * transforms : 2] + 1j * lines[1 : 2 * transforms : 2]
    samples = xp.empty((transforms, angles, length + 1), np.complex64)
    fft = fft_module(xp)
    fft_plan = fft.get_fft_plan(padded, axes=2)
    images = xp.empty((transforms, n, n), np.complex64)

    def filter_rows() -> None:
        with fft_plan:
            spectra = fft.fft(padded, axis=2)
        xp.multiply(spectra, factors[:, :length], out=samples[:, :, :length])
        xp.multiply(spectra[:, :, length // 2], factors[:, length], out=samples[:, :, length])

    def transform() -> None:
        plan.execute(samples.reshape(transforms, points), out=images)

    def whole() -> None:
        filter_rows()
        transform()

    calls = {"cuFINUFFT with filter": whole, "- cuFINUFFT alone": transform}
    yield Peer(calls, 2 * transforms, lambda: xp.ascontiguousarray(images[0].real).get())


@contextmanager
def astra(geometry: Geometry, lines: Array) -> Iterator[Peer]:
    """ASTRA: FBP_CUDA of one slice, from host memory and back to it, as it is called."""
    package = _package("astra")
    if not package.use_cuda():
        raise LeftOut("this build of ASTRA sees no CUDA device")
    n = geometry.columns
    if n * n * geometry.angles.size > LARGEST_ASTRA:
        raise LeftOut("direct back-projection of a slice of this size takes it too long")
    detector = package.create_proj_geom("parallel", 1.0, n, -geometry.angles)
    grid = package.create_vol_geom(n, n)
    data = package.data2d.create("-sino", detector, lines[0].get())
    image = package.data2d.create("-vol", grid)
    options = package.astra_dict("FBP_CUDA")
    options.update(ProjectionDataId=data, ReconstructionDataId=image)
    options["option"] = {"FilterType": "Ram-Lak"}
    algorithm = package.algorithm.create(options)
    try:
        yield Peer(
            {"ASTRA FBP_CUDA, with copies": lambda: package.algorithm.run(algorithm)},
            1,
            lambda: np.asarray(package.data2d.get(image), np.float32),
        )
    finally:
        package.algorithm.delete(algorithm)
        package.data2d.delete([data, image])


PEERS: dict[str, Any] = {"cuFINUFFT": cufinufft, "ASTRA": astra}
"""All peers by name."""


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:  # no package, no library, no driver
        raise LeftOut(f"it cannot be imported here ({error})") from error


def _samples(xp: ModuleType, geometry: Geometry) -> tuple[Array, Array, Array]:
    """Places x and y of all samples, (angles * (length + 1),), and factors (angles, length + 1).

    The factors are filter, angular weight, and the phase that puts the axis into the middle of the
    slice, which lies half a pixel before pixel n // 2 where n is even. The highest frequency is
    parted between its two signs, or it would carry one slice of a pair into the other.
    """
    length, count = geometry.length, geometry.angles.size
    cycles = np.append(np.fft.fftfreq(length), 0.5)
    response = geometry.response[np.abs(np.rint(cycles * length)).astype(int)] / length
    response[[length // 2, length]] *= 0.5
    frequency, response = xp.asarray(cycles), xp.asarray(response)
    half_pixel = geometry.size // 2 - (geometry.size - 1) / 2
    shape = count, length + 1
    x, y = xp.empty(shape, np.float32), xp.empty(shape, np.float32)
    factors = xp.empty(shape, np.complex64)
    for first in range(0, count, ANGLES_AT_A_TIME):
        part = slice(first, first + ANGLES_AT_A_TIME)
        cos, sin = np.cos(geometry.angles[part]), np.sin(geometry.angles[part])
        shift = geometry.axis + half_pixel * (cos + sin)
        weight = xp.asarray(geometry.weight[part])[:, None] * response
        factors[part] = weight * xp.exp(2j * np.pi * xp.asarray(shift)[:, None] * frequency)
        x[part] = 2 * np.pi * xp.asarray(cos)[:, None] * frequency
        y[part] = 2 * np.pi * xp.asarray(sin)[:, None] * frequency
    return x.reshape(-1), y.reshape(-1), factors
