"""Rules on the voxels: each level has to be what the one below it reduces to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np

from hipct.volume.finding import Finding
from hipct.volume.open import Volume, VolumeLevel
from hipct.volume.reduce import REDUCED_DTYPES, Reduction, reduce_block, reduced_shape

_EDGE = 32
_REGIONS = 4
_NAMES: dict[Reduction, str] = {
    "mean": "rounded mean",
    "mode": "mode",
    "min": "minimum",
    "max": "maximum",
}


def voxel_findings(volume: Volume, *, own: bool, whole: bool = False) -> Iterator[Finding]:
    """Compare some regions of every level with the rounded mean of the level below.

    Where hipct noted another reduction (labels go by the mode), that one is taken.

    Parameters
    ----------
    volume : Volume
    own : bool
        Whether hipct wrote it: then every voxel has to be exact.
    whole : bool
        Whether all voxels are compared.
    """
    noted = volume.provenance.get("reduction")
    how: Reduction = noted if noted in REDUCED_DTYPES else "mean"
    for finer, coarser in pairwise(volume.levels):
        if finer.array.dtype not in REDUCED_DTYPES[how] or reduced_shape(
            finer.array.shape
        ) != tuple(coarser.array.shape):
            continue
        try:
            voxels, wrong, shift = _compare(finer, coarser, how, whole=whole)
        except Exception as error:  # Codecs raise what they like on damaged bytes.
            yield Finding(
                "readable",
                "error",
                f"Level {finer.path} or {coarser.path} cannot be read ({error}).",
            )
            continue
        if wrong:
            yield Finding(
                "means",
                "error" if own else "warning",
                f"Level {coarser.path} is no {_NAMES[how]} of level {finer.path}: {wrong} of "
                f"{voxels} voxels looked at differ, by {shift:+.3f} grey values on average.",
            )


def _compare(
    finer: VolumeLevel, coarser: VolumeLevel, how: Reduction, *, whole: bool
) -> tuple[int, int, float]:
    """Voxels compared, voxels that differ, mean difference."""
    voxels, wrong, total = 0, 0, 0.0
    shape = tuple(coarser.array.shape)
    for region in _all_chunks(shape, coarser.array.chunks) if whole else _regions(shape):
        stored = np.asarray(coarser.array[region])
        below = tuple(
            slice(2 * part.start, min(2 * part.stop, n))
            for part, n in zip(region, finer.array.shape)
        )
        reduced = reduce_block(np.asarray(finer.array[below]), how=how)
        difference = stored.astype(np.int64) - reduced
        voxels += stored.size
        wrong += int(np.count_nonzero(difference))
        total += float(difference.sum())
    return voxels, wrong, total / voxels


def _all_chunks(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for start in product(*(range(0, n, c) for n, c in zip(shape, chunk))):
        yield tuple(slice(s, min(s + c, n)) for s, c, n in zip(start, chunk, shape))


def _regions(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """The middle, the far corner (odd ends), and places that are the same in every run."""
    rng = np.random.default_rng(0)
    free = [max(0, n - _EDGE) for n in shape]
    starts = [[f // 2 for f in free], free]
    starts += [[int(rng.integers(0, f + 1)) for f in free] for _ in range(_REGIONS - 2)]
    for start in dict.fromkeys(tuple(s) for s in starts):
        yield tuple(slice(s, min(s + _EDGE, n)) for s, n in zip(start, shape))
