"""The rotation axis of real scans, to the values that their sources state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hipct.reconstruction.axis import find_axis

h5py = pytest.importorskip("h5py", reason="h5py is not installed")


@pytest.fixture(scope="module")
def tooth(shared_data):
    with h5py.File(shared_data / "tooth" / "tooth.h5") as file:
        dark = file["exchange/data_dark"][:].mean(axis=0)
        flat = file["exchange/data_white"][:].mean(axis=0)
        counts, angles = file["exchange/data"][:], np.deg2rad(file["exchange/theta"][:])
    return -np.log(np.clip((counts - dark) / (flat - dark), 1e-3, None)), angles


@pytest.fixture(scope="module")
def neutron(shared_data):
    with h5py.File(shared_data / "sarepy_neutron360" / "scan.h5") as file:
        counts, angles = file["exchange/data"][:], np.deg2rad(file["exchange/theta"][:])
    transmission = counts / counts[:, :, :30].mean(axis=2, keepdims=True)
    return -np.log(np.clip(transmission, 1e-2, None)), angles


@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 1), slice(1, 2)])
@pytest.mark.parametrize("method", ["auto", "pairs", "sinogram"])
def test_tooth_whose_end_angle_is_left_out(tooth, rows, method):
    data, angles = tooth
    found = find_axis(data[:, rows], angles, method=method)
    assert abs(found.value - 296.0) < 0.5
    assert found.confidence > 0.9


@pytest.mark.parametrize("transform", [lambda p: p, lambda p: np.exp(-p)])
def test_neutron_turn_with_both_ends(neutron, transform):
    data, angles = neutron
    found = find_axis(transform(data), angles)
    assert abs(found.value - 244.9) < 0.3
    assert found.confidence > 0.9
    for half in (slice(0, 230), slice(229, 459)):
        assert abs(find_axis(transform(data)[half], angles[half]).value - 244.9) < 0.75


@pytest.mark.parametrize(
    "columns", [slice(0, 290), slice(0, 265), slice(200, 503), slice(225, 503), slice(0, 400)]
)
def test_neutron_turn_cropped_to_half_acquisitions(neutron, columns):
    data, angles = neutron
    found = find_axis(data[:, :, columns], angles, acquisition="half")
    assert abs(found.value + columns.start - 244.9) < 0.3
    assert found.confidence > 0.9


def test_tomopys_sinogram(shared_data):
    data = np.load(shared_data / "tomopy_refs" / "sinogram.npy")
    found = find_axis(data, np.linspace(0, np.pi, len(data)))
    assert abs(found.value - 45.0) < 0.75


def test_tomopys_projection_and_its_moved_mirror_image(shared_data):
    view = np.load(shared_data / "tomopy_refs" / "projection.npy")
    opposite = ndimage.shift(np.fliplr(view), (0, 18.75), mode="reflect")
    found = find_axis(np.stack([view, opposite]), [0.0, np.pi])
    # Mirrored about (N - 1) / 2 = 63.5, then moved by 18.75.
    assert abs(found.value - (63.5 + 18.75 / 2)) < 0.05
    assert abs(found.value - 73.0) < 0.5
