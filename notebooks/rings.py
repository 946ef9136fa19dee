# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rings
#
# A pixel that responds a little more than it should does so at every angle: a stripe in the
# sinogram, a ring in the slice (over 180 degrees half a ring). Where do they come from, how strong
# are they, and what does their removal cost the sample? On a simulated scan the answer is a number:
# the truth is known, with and without stripes.
#
# Install with `pip install -e '.[notebooks]'`.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hipct
from hipct.preparation.stripe_score import stripe_score
from hipct.simulation import load_truth
from hipct.volume.ring_score import ring_score
from hipct.volume.rings_polar import remove_rings_polar

plt.rcParams.update({"figure.dpi": 54, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 8})
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# Everything below runs at the size of this cell; 2048 columns and rows with 6000 views is real
# size.

# %%
SIZE = {"columns": 224, "rows": 32, "angles": 400}
BEAM = {"pixel_size_um": 20.0, "distance_m": 8.0, "energy_kev": 90.0}


def scan_lines(rings, name):
    """Line integrals (angles, rows, columns) after phase retrieval, angles, and the truth."""
    hipct.simulate_scan(
        folder / name,
        acquisition="full",
        **SIZE,
        **BEAM,
        delta_beta=1500.0,
        noise=20000.0,
        rings=rings,
        seed=8,
    )
    with hipct.open_scan(folder / name) as scan:
        info = scan.info
        every = slice(0, info.rows)
        transmission = hipct.flat_field(
            scan.read_projections(slice(0, info.projections), every),
            scan.read_flats(every),
            scan.read_darks(every),
            projection_index=info.projection_index,
            flat_index=info.flat_index,
            current=info.current,
            flat_current=info.flat_current,
        )
    retrieved = hipct.paganin(transmission, **BEAM, delta_beta=1500.0)
    return hipct.line_integral(retrieved), info.angles_rad, load_truth(folder / name)


striped, angles, truth = scan_lines(0.03, "striped.zarr")
clean, _, _ = scan_lines(0.0, "clean.zarr")
row = SIZE["rows"] // 2
axis = truth.setup.axis_px


def slice_of(sinogram):
    """The slice of a sinogram (angles, columns), in 1/cm."""
    return hipct.fbp(sinogram[None], angles, axis, pixel_size_um=BEAM["pixel_size_um"])[0]


wanted = truth.volume(slice(row, row + 1), size=SIZE["columns"])[0]
before, ideal = slice_of(striped[:, row]), slice_of(clean[:, row])
grid = np.arange(len(wanted)) - (len(wanted) - 1) / 2
inside = np.hypot(grid, grid[:, None]) < 0.93 * len(wanted) / 2
grey = {"vmin": -0.03, "vmax": 0.09}

figure, panels = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
panels[0].imshow(striped[:, row], aspect="auto", vmin=-0.002, vmax=0.03)
panels[0].set(title="sinogram, stripes", xlabel="column", ylabel="view")
for panel, (title, picture) in zip(
    panels[1:], (("rings", before), ("the same without", ideal), ("truth", wanted))
):
    panel.imshow(picture, **grey)
    panel.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# The stripe here comes from a spot of the scintillator whose gain differs between flats and
# projections by up to 3 %, as when the beam hardens in the sample. Phase retrieval has widened it:
# its kernel works on rows and columns, and a spot becomes a soft, wide stripe in several slices.
#
# ## How strong
#
# A stripe is what distant parts of the angle have in common and is narrower than a median across
# columns; noise is not common, the sample moves. `stripe_score` and `ring_score` are the rms of
# that, in the unit of the values; over the noise of a single value it says whether one sees rings.
# Rings of the sample itself, concentric with the axis all around, count as rings: nothing in one
# slice tells the difference.

# %%
for name, sinogram, picture in (
    ("striped", striped[:, row], before),
    ("without", clean[:, row], ideal),
):
    stripes, rings = stripe_score(sinogram[None]), ring_score(picture[None])
    print(
        f"{name}: stripes {float(stripes.ring_rms[0]):.1e} ({float(stripes.score[0]):.2f} of the "
        f"noise), rings {float(rings.ring_rms[0]):.1e} 1/cm ({float(rings.score[0]):.2f})"
    )
fine = striped[:, row].mean(axis=0)
figure, panels = plt.subplots(1, 2, figsize=(11, 2.6), layout="constrained")
panels[0].plot(fine - clean[:, row].mean(axis=0))
panels[0].set(xlabel="column", ylabel=r"$\mu t$", title="mean over the views, less that without")
panels[1].imshow((before - ideal), vmin=-0.02, vmax=0.02)
panels[1].set(title="what the stripes become, +-0.02 1/cm", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Removing them
#
# All methods of `remove_rings` work on sinograms; `remove_rings_polar` works on finished slices.
#
# - *sorting*: sort each column by value, median across columns, sort back (Vo et al., Opt. Express
#   26 (2018) 28396, algorithm 3);
# - *wavelet*: damp the frequencies of stripes in wavelet bands (Muench et al., Opt. Express 17
#   (2009) 8567);
# - *large*, *dead*, *all*: find strong stripes, and columns that are dead or flicker, first (Vo et
#   al. 2018, algorithms 5, 6, and both before 3);
# - *regularised*: the least offsets of columns that make the mean over the views smooth (Titarenko
#   et al., Appl. Math. Lett. 23 (2010) 1489);
# - *polar*: the slice less its median, in polar coordinates, low-pass along the angle.
#
# Three numbers for each: what is left of the rings, the error against the truth, and the damage:
# the change that the same method does to the scan that never had stripes.

# %%
METHODS = {
    "none": lambda sinogram: sinogram,
    "sorting": lambda sinogram: hipct.remove_rings(sinogram[None], "sorting")[0],
    "wavelet": lambda sinogram: hipct.remove_rings(sinogram[None], "wavelet", levels=3)[0],
    "large": lambda sinogram: hipct.remove_rings(sinogram[None], "large")[0],
    "all": lambda sinogram: hipct.remove_rings(sinogram[None], "all")[0],
    "regularised": lambda sinogram: hipct.remove_rings(sinogram[None], "regularised")[0],
}


def rms(picture):
    """Root mean square inside the measured circle, in 1/cm."""
    return float(np.sqrt(np.mean(picture[inside] ** 2)))


slices = {name: slice_of(method(striped[:, row].copy())) for name, method in METHODS.items()}
unharmed = {name: slice_of(method(clean[:, row].copy())) for name, method in METHODS.items()}
slices["polar"] = remove_rings_polar(before[None].copy())[0]
unharmed["polar"] = remove_rings_polar(ideal[None].copy())[0]

print(f"{'method':12} rings (1/cm)   error (1/cm)   damage (1/cm)")
for name, picture in slices.items():
    left = float(ring_score(picture[None]).ring_rms[0])
    print(
        f"{name:12} {left:12.1e} {rms(picture - wanted):14.1e} {rms(unharmed[name] - ideal):15.1e}"
    )
print(
    f"{'no stripes':12} {float(ring_score(ideal[None]).ring_rms[0]):12.1e} "
    f"{rms(ideal - wanted):14.1e}"
)

# %%
names = ("sorting", "wavelet", "all", "regularised", "polar")
figure, panels = plt.subplots(2, 5, figsize=(13, 5.4), layout="constrained")
for (upper, lower), name in zip(panels.T, names, strict=True):
    upper.imshow(slices[name], **grey)
    lower.imshow(unharmed[name] - ideal, vmin=-0.01, vmax=0.01)
    upper.set(title=name, xticks=[], yticks=[])
    lower.set(title="its damage, +-0.01 1/cm", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# All of them weaken the ring, and all of them do something to a scan that has none. What is in the
# mean over the views is taken for a stripe in part: edges that run along the columns for a while
# (sorting), the outline of an organ that nearly fills the field (large, all), the object's own mean
# (wavelet, regularised). Here *sorting* has the least error. *large* and *all* are made for strong
# and dead columns; on this soft stripe they cost more than they bring.
#
# ## Strength of one method
#
# The one parameter of the sorting method is the width of its median in columns: stripes up to
# about half of it go. Wider takes wider stripes, and more of the sample.

# %%
widths = (3, 5, 9, 15, 21, 31, 51, 81)
left, error, damage = [], [], []
for width in widths:
    treated = slice_of(hipct.remove_rings(striped[:, row].copy()[None], size_px=width)[0])
    intact = slice_of(hipct.remove_rings(clean[:, row].copy()[None], size_px=width)[0])
    left.append(float(ring_score(treated[None]).ring_rms[0]))
    error.append(rms(treated - wanted))
    damage.append(rms(intact - ideal))
figure, panel = plt.subplots(figsize=(7, 3), layout="constrained")
panel.plot(widths, left, "o-", label="rings left")
panel.plot(widths, error, "o-", label="error against the truth")
panel.plot(widths, damage, "o-", label="damage without stripes")
panel.axhline(rms(ideal - wanted), color="0.7", linestyle="--", label="error without stripes")
panel.set(xlabel="width of the median (columns)", ylabel="rms (1/cm)", ylim=(0, None))
panel.legend()
plt.show()
print(f"least error at {widths[int(np.argmin(error))]} columns")

# %% [markdown]
# Rule: no more than the rings ask for. Look at the damage, which needs no truth: remove what is not
# there, from a sinogram of the same scan that shows no stripes. In a job it is `rings.method` and
# `rings.size_px`, and `hipct view --live` shows what a change does.
