"""Several processes write the layers of one pyramid (few imports: they start anew)."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from hipct.volume.layout import PyramidSpec
from hipct.volume.reduce import reduce_block
from hipct.volume.writer import PyramidTree, create_pyramid, read_layer, write_node


def write(job: tuple[Any, ...]) -> np.ndarray | None:
    return write_node(*job)


def test_several_processes_may_write_layers_in_any_order(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 65536, (30, 20, 20), np.uint16)
    spec = PyramidSpec(shape=volume.shape, voxel_size_um=1.0, chunk=8, layer=8, shard_plane=16)
    tree, path = PyramidTree(spec), str(tmp_path / "v.ome.zarr")
    create_pyramid(path, spec)
    halves: dict[tuple[int, int], Any] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for level in range(len(spec.levels)):
            nodes = [(level, index) for index in reversed(range(spec.layers(level)))]
            jobs = []
            for node in nodes:
                blocks = [halves[child] for child in tree.children(*node)]
                blocks = blocks or [volume[spec.levels[0].rows(node[1])]]
                jobs.append((path, spec, *node, blocks))
            halves |= dict(zip(nodes, pool.map(write, jobs)))
    expected = volume
    for level in range(len(spec.levels)):
        layers = [read_layer(path, spec, level, index) for index in range(spec.layers(level))]
        np.testing.assert_array_equal(np.concatenate(layers), expected)
        expected = reduce_block(expected)
