"""Volumes in the axes of another one: against fields that trilinear interpolation keeps exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hipct.atlas.resampled import SourceLevel, is_aligned, resampled_levels
from hipct.atlas.similarity import rotation
from hipct.core.errors import InputError

SHAPE = (40, 48, 56)
SLOPE = np.array([0.3, -0.2, 0.5])


def affine(turns: Any, size: Any, shift: Any) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(turns) * np.asarray(size)
    matrix[:3, 3] = shift
    return matrix


def field(world: np.ndarray) -> np.ndarray:
    """A linear field of the world: means of voxels, and values between them, follow it exactly."""
    return 7.0 + world @ SLOPE


def pyramid(matrix: np.ndarray, levels: int) -> list[SourceLevel]:
    made = []
    for number in range(levels):
        factor = 2**number
        coarse = matrix.copy()
        coarse[:3, :3] *= factor
        coarse[:3, 3] += matrix[:3, :3] @ np.full(3, (factor - 1) / 2)
        index = np.moveaxis(np.indices([n // factor for n in SHAPE]), 0, -1)
        world = index @ coarse[:3, :3].T + coarse[:3, 3]
        made.append(SourceLevel(field(world).astype(np.float32), coarse))
    return made


def places(level: Any) -> np.ndarray:
    """World coordinates of the voxels of a level."""
    index = np.moveaxis(np.indices(level.shape), 0, -1)
    return index * np.array(level.scale) + np.array(level.origin)


CASES = [
    ((0.0, 0.0, 0.0), (2.0, 2.0, 2.0)),
    ((0.6, 0.0, 0.0), (2.0, 2.0, 2.0)),
    ((-2.5, 0.4, 0.9), (1.5, 1.5, 1.5)),
    ((0.2, 1.3, -0.3), (4.0, 1.0, 2.0)),
]


@pytest.mark.parametrize(("turns", "size"), CASES)
def test_values_are_those_of_the_world(turns: Any, size: Any) -> None:
    matrix = affine(turns, size, (100, -50, 30))
    for source, level in zip(pyramid(matrix, 3), resampled_levels(pyramid(matrix, 3))):
        world = places(level)
        index = (world - source.matrix[:3, 3]) @ np.linalg.inv(source.matrix[:3, :3]).T
        ends = np.array(source.array.shape) - 1
        inner = ((index >= 0) & (index <= ends)).all(axis=-1)
        outside = ((index < -0.51) | (index > ends + 0.51)).any(axis=-1)
        values = level[:]
        assert inner.sum() > 0.1 * inner.size
        np.testing.assert_allclose(values[inner], field(world[inner]), atol=2e-4)
        assert np.isnan(values[outside]).all()
        # The outer half voxels go on with the end value.
        rim = ~inner & ((index > -0.49) & (index < ends + 0.49)).all(axis=-1)
        assert np.isfinite(values[rim]).all()


@pytest.mark.parametrize(("turns", "size"), CASES)
def test_the_grid_holds_all_and_halves_exactly(turns: Any, size: Any) -> None:
    sources = pyramid(affine(turns, size, (1, 2, 3)), 3)
    levels = resampled_levels(sources)
    assert len(levels) == 3
    edges = np.stack(np.meshgrid(*((-0.5, n - 0.5) for n in SHAPE)), -1).reshape(-1, 3)
    corners = edges @ sources[0].matrix[:3, :3].T + sources[0].matrix[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    for number, level in enumerate(levels):
        scale, origin = np.array(level.scale), np.array(level.origin)
        np.testing.assert_allclose(origin - scale / 2, low)
        assert (origin + (np.array(level.shape) - 0.5) * scale >= high - 1e-9).all()
        assert tuple(np.array(level.shape) * 2**number) == levels[0].shape
    past = np.array(levels[0].origin) + np.array(levels[0].shape) * levels[0].scale - high
    assert (past < 4.5 * np.array(levels[0].scale)).all()


def test_without_a_turn_voxels_are_kept() -> None:
    values = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    matrix = affine((0, 0, 0), (3, 3, 3), (5, 6, 7))
    (level,) = resampled_levels([SourceLevel(values, matrix)])
    assert level.shape == SHAPE
    assert level.origin == (5, 6, 7)
    np.testing.assert_allclose(level[:], values, atol=1e-6)
    assert is_aligned(matrix)
    assert not is_aligned(affine((0, 0, 0.01), (3, 3, 3), (5, 6, 7)))
    assert not is_aligned(np.diag([1.0, 1.0, -1.0, 1.0]))


def test_regions_are_parts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    import hipct.atlas.resampled as module

    level = resampled_levels(pyramid(affine((0.5, 0.2, -0.8), (2, 2, 2), (0, 0, 0)), 1))[0]
    whole = level[:]
    monkeypatch.setattr(module, "_MOST_POINTS", 300)
    monkeypatch.setattr(module, "_MOST_READ", 2000)
    z = level.shape[0] // 2
    for region in (np.s_[z], np.s_[z - 2 : z + 3, 20:50, 33], np.s_[..., 40], np.s_[5:5]):
        np.testing.assert_array_equal(level[region], whole[region])


class Watched:
    """An array that keeps what was asked of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.read = 0

    def __getitem__(self, region: Any) -> np.ndarray:
        part = self.values[region]
        self.read += part.size
        return part


def test_a_plane_reads_what_lies_around_it_alone() -> None:
    array = Watched(np.zeros((256, 256, 256), np.uint8))
    turned = affine((0.3, 0.02, 0), (1, 1, 1), (0, 0, 0))
    (level,) = resampled_levels([SourceLevel(array, turned)])
    nz = level.shape[0]
    plane = level[nz // 2]
    assert np.isfinite(plane).sum() == pytest.approx(256 * 256, rel=0.05)
    # About 6 voxels deep in the middle, where the plane tilts by 0.02 over 256 voxels.
    assert 256 * 256 < array.read < 20 * 256 * 256
    array.read = 0
    assert np.isnan(level[nz // 2, :20, :20]).all()
    assert array.read == 0


def test_labels_stay_whole_numbers_and_nothing_outside() -> None:
    values = np.random.default_rng(0).integers(1, 60_000, SHAPE).astype(np.uint16)
    source = SourceLevel(values, affine((0.7, 0, 0), (1, 1, 1), (0, 0, 0)))
    (level,) = resampled_levels([source], labels=True)
    assert level.dtype == np.uint16
    world = places(level)
    index = np.rint((world - source.matrix[:3, 3]) @ np.linalg.inv(source.matrix[:3, :3]).T)
    inside = ((index >= 0) & (index < SHAPE)).all(axis=-1)
    expected = np.zeros(level.shape, np.uint16)
    expected[inside] = values[tuple(index[inside].astype(int).T)]
    # Half-way between two voxels either is right.
    assert (level[:] == expected).mean() > 0.999


def test_a_flat_matrix_is_refused() -> None:
    with pytest.raises(InputError, match="has no inverse"):
        resampled_levels([SourceLevel(np.zeros((3, 3, 3)), np.diag([1.0, 0.0, 1.0, 1.0]))])
