"""Other packages' filtered back-projection, and a reference slice of a real scan."""

import numpy as np
import pytest

from benchmarks import peers
from hipct.reconstruction import fbp

# Peers interpolate rows linearly, which is what separates them from the Fourier engine; nabu and
# algotom do what the direct engine does, but algotom's threads race for the same pixels: the median
# of its difference counts, and not its outliers.
FOURIER = {"nabu": 7e-3, "astra": 8e-3, "algotom": 5e-3, "skimage": 6e-3, "finufft": 3e-4}
DIRECT = {"nabu": 2e-6, "astra": 8e-3, "algotom": 2e-6, "skimage": 5e-3}


@pytest.fixture(scope="module")
def scan(phantoms):
    columns, angles, axis = 160, 250, 82.3
    theta = np.arange(angles) * np.pi / angles
    organ = phantoms.organ(74)
    rows = phantoms.project(organ, theta, columns, axis)[None].astype(np.float32)
    return rows, theta, axis, phantoms.away_from_edges(organ, columns, 8, 72)


def peer_slice(name, rows, theta, axis):
    try:
        image = peers.PEERS[name](rows, theta, axis)[0]
    except peers.PeerMissing as error:
        pytest.skip(str(error))
    # algotom weighs each of n angles by 1/(n - 1).
    return image * (1 - 1 / theta.size) if name == "algotom" else image


@pytest.mark.parametrize(
    ("engine", "name", "tolerance"),
    [("fourier", *item) for item in FOURIER.items()]
    + [("direct", *item) for item in DIRECT.items()],
)
def test_peers_agree(scan, engine, name, tolerance):
    """rms over 0.95 R, 8 px from edges, of an object of value 1; and no bias."""
    rows, theta, axis, inner = scan
    ours = fbp(rows, theta, axis, engine=engine, padding="zero")[0]
    difference = (ours - peer_slice(name, rows, theta, axis))[inner].astype(float)
    if name == "algotom":
        assert np.median(np.abs(difference)) < tolerance
        return
    assert np.sqrt(np.mean(difference**2)) < tolerance
    assert abs(difference.mean()) < 1e-4


def test_tooth(shared_data):
    """Orientation, level and axis on a real scan, against an independent plain FBP."""
    h5py = pytest.importorskip("h5py", reason="h5py, to read the scan, is not installed")
    with h5py.File(shared_data / "tooth" / "tooth.h5") as file:
        frames, flats, darks = (
            file[f"exchange/{name}"][:, 0].astype(float)
            for name in ("data", "data_white", "data_dark")
        )
    dark = darks.mean(axis=0)
    transmission = (frames - dark) / (flats.mean(axis=0) - dark)
    rows = -np.log(np.maximum(transmission, 1e-3))[None]
    theta = np.deg2rad(np.arange(181) * 179.006 / 180)
    reference = np.load(shared_data / "tooth" / "ref_fbp.npy")
    x = np.arange(640) - 319.5
    disc = np.hypot(x[:, None], x) < 290
    direct = fbp(rows, theta, 296.0, engine="direct")[0]
    assert np.abs(direct - reference)[disc].max() < 5e-3 * np.abs(reference[disc]).max()
    assert np.sqrt(np.mean((direct - reference)[disc] ** 2)) < 1e-3 * reference[disc].std()
    # No interpolation: sharper noise, the same level, and the same slice below it.
    fourier = fbp(rows, theta, 296.0)[0]
    assert np.corrcoef(fourier[disc], reference[disc])[0, 1] > 0.99
    assert np.polyfit(reference[disc], fourier[disc], 1)[0] == pytest.approx(1, abs=0.02)
