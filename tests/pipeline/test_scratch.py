"""Buffers hold the same in memory and in a file, and a file leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.device import Device
from hipct.pipeline.scratch import Buffer


@pytest.mark.parametrize("staged", [False, True])
def test_blocks_written_in_any_order_are_read_as_one(tmp_path, staged):
    rng = np.random.default_rng(1)
    whole = rng.normal(size=(7, 11, 5)).astype(np.float32)
    buffer = Buffer(whole.shape, np.float32, tmp_path / "s" / "b" if staged else None)
    for first, last in ((6, 11), (0, 4), (4, 6)):
        with buffer.filling(slice(first, last)) as (block, place):
            block[:, place : place + last - first] = whole[:, first:last]
    np.testing.assert_array_equal(buffer.read(0, 7), whole)
    np.testing.assert_array_equal(buffer.read(2, 5), whole[2:5])
    np.testing.assert_array_equal(buffer.band(slice(3, 8)), whole[:, 3:8])
    buffer.close()


@pytest.mark.parametrize("staged", [False, True])
def test_blocks_of_a_device_are_there_once_they_are_filled(tmp_path, device, staged):
    gpu = Device(device)
    whole = np.random.default_rng().normal(size=(5, 8, 6)).astype(np.float32)
    path = tmp_path / "b" if staged else None
    with gpu.lane("prepare"):
        buffer = Buffer(whole.shape, np.float32, path, device=gpu)
        for part in (slice(0, 5), slice(5, 8)):
            with buffer.filling(part) as (block, place):
                assert place == 0
                block[...] = gpu.upload(whole[:, part])
        np.testing.assert_array_equal(buffer.read(0, 5), whole)
    buffer.close()


def test_whole_rows_are_written_at_once(tmp_path):
    buffer = Buffer((4, 3, 2), np.uint16, tmp_path / "b")
    rows = np.arange(12, dtype=np.uint16).reshape(2, 3, 2)
    buffer.write(2, rows)
    buffer.write(0, rows + 100)
    np.testing.assert_array_equal(buffer.read(0, 4), np.concatenate([rows + 100, rows]))
    buffer.close()


def test_a_scratch_file_has_no_name_that_a_kill_could_leave(tmp_path):
    buffer = Buffer((4, 3, 2), np.uint16, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
    buffer.close()
