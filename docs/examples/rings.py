"""Rings: stripes of a sinogram, and what each method leaves of them and of the sample.

All at once: fine stripes of up to 0.4 % in a fifth of the columns, a band of 9 columns, a dead
column and one that flickers; noise of 0.05 %, as phase retrieval leaves it.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np

import hipct
from hipct.simulation import Organ, Truth
from hipct.simulation.anatomy import TISSUE, build_organ
from hipct.simulation.primitives import cylinder
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png
from hipct.volume.ring_score import ring_score
from hipct.volume.rings_polar import remove_rings_polar

COLUMNS, ANGLES, PIXEL_UM, CONTRAST = 256, 600, 5.0, 40
NOISE = 5e-4
ANGLES_RAD = np.arange(ANGLES) * np.pi / ANGLES
AXIS = 127.5
MU = CONTRAST * TISSUE
DISC = (34.0, -52.0, 14.0)
"""x, y and radius of a disc, in pixels, whose edge shows the resolution."""
WIDTHS: dict[str, dict] = {
    "sorting": {"size_px": 11}, "dead": {"large_px": 25},
    "all": {"size_px": 11, "large_px": 25}, "wavelet": {"levels": 3}
}  # fmt: skip


# %%
def simulate() -> tuple[np.ndarray, np.ndarray]:
    """Line integrals (1, angles, columns) without and with stripes."""
    setup = Setup(
        acquisition="full", rows=1, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=4,
    )  # fmt: skip
    x, y, radius = np.array(DISC) * PIXEL_UM
    organ = build_organ(110 * PIXEL_UM, seed=4).together_with(
        Organ.of(cylinder((x, y, 0), radius, mu=0.5 * TISSUE))
    )
    clean = Truth(organ.scaled(CONTRAST), setup).attenuation(ANGLES_RAD).swapaxes(0, 1)
    random = np.random.default_rng(4)
    clean += random.normal(0, NOISE, clean.shape).astype(np.float32)
    stripes = np.where(random.random(COLUMNS) < 0.2, random.uniform(-1, 1, COLUMNS), 0) * 0.004
    stripes[70:79] += 0.004
    striped = clean + stripes
    striped[:, :, 170] = clean[:, :, 170].mean()
    striped[:, :, 100] += random.normal(0, 0.03, (1, ANGLES))
    return clean, striped.astype(np.float32)


# %% [markdown]
# ## Methods
# All on sinograms but the last, which works on the slice in polar coordinates. Windows are half as
# wide as by default: the detector has 256 columns, not 2048, and the widest stripe 9.


# %%
def removed(sinogram: np.ndarray, method: str) -> np.ndarray:
    """Slice (1, n, n) in 1/cm of a sinogram whose rings were removed by a method."""
    if method not in ("none", "polar"):
        name = method.removesuffix(", then polar")
        sinogram = hipct.remove_rings(sinogram, name, **WIDTHS.get(name, {}))
    image = hipct.fbp(sinogram, ANGLES_RAD, AXIS, pixel_size_um=PIXEL_UM)
    return remove_rings_polar(image) if "polar" in method else image


def rise(image: np.ndarray) -> float:
    """Rise of the mean profile over the middle pixel and a half of the disc's edge."""
    x, y, radius = DISC
    place = np.arange(COLUMNS) - AXIS
    depth = radius - np.hypot(place - x, place[:, None] - y)
    within, beyond = (image[0][(a < depth) & (depth < a + 1)].mean() for a in (0.25, -1.25))
    return float(within - beyond)


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    clean, striped = simulate()
    known = removed(clean, "none")
    inner = np.hypot(*np.mgrid[:COLUMNS, :COLUMNS] - AXIS) < 105
    methods = (
        "none",
        "dead",
        "sorting",
        "all",
        "all, then polar",
        "wavelet",
        "regularised",
        "polar",
    )
    figures, shown = {}, []
    for method in methods:
        image = removed(striped, method)
        error = (image - known)[0][inner]
        figures |= {
            f"{method}: rings, % of mu": 100 / MU * float(ring_score(image).ring_rms[0]),
            f"{method}: rms error, % of mu": 100 / MU * float(np.sqrt(np.mean(error**2))),
        }
        if method != "none":
            spared = removed(clean, method)
            change = (spared - known)[0][inner]
            figures |= {
                f"{method}: rms change without stripes, % of mu": 100 / MU * float(change.std()),
                f"{method}: edge slope without stripes, %": 100 * rise(spared) / rise(known),
            }
        if method in ("none", "sorting", "all", "all, then polar"):
            shown.append(image[0])
    shown = [each[48:208, 16:240] for each in (*shown, known[0])]
    captions = ["with stripes", "sorting", "all of Vo", "all, then polar", "without stripes"]
    sheet = panels([grey(each, 0.2 * MU, 1.7 * MU) for each in shown], captions, columns=5)
    write_png(Path(out) / "rings.png", sheet)
    return figures


# %%
if __name__ == "__main__":
    print(main(Path()))
