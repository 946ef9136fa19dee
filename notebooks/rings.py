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

plt.rcParams.update({"figure.dpi": 84, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 9})
scratch = tempfile.TemporaryDirectory()  # goes with the kernel
folder = Path(scratch.name)

# %% [markdown]
# Everything below runs at the size of this cell; 2048 columns and rows with 6000 views is real
# size. Each of the two scans then takes 50 GB of disk and hours to simulate; of each no more than
# 128 rows around the middle are looked at, with 20 GB of memory.

# %%
SIZE = {"columns": 224, "rows": 32, "angles": 400}
BEAM = {"pixel_size_um": 20.0, "distance_m": 8.0, "energy_kev": 90.0}


def simulated(rings, name):
    """A scan in which spots of the scintillator are wrong by up to a share of ``rings``."""
    return hipct.simulate_scan(
        folder / name,
        acquisition="full",
        **SIZE,
        **BEAM,
        delta_beta=1500.0,
        noise=20000.0,
        rings=rings,
        seed=8,
    )


def sinogram_of(path, plant=None):
    """Line integrals (angles, columns) of the middle row after phase retrieval.

    ``plant`` may change the transmission before that.
    """
    with hipct.open_scan(path) as scan:
        info = scan.info
        middle = info.rows // 2
        band = slice(max(middle - 64, 0), min(middle + 64, info.rows))
        transmission = hipct.flat_field(
            scan.read_projections(slice(0, info.projections), band),
            scan.read_flats(band),
            scan.read_darks(band),
            projection_index=info.projection_index,
            flat_index=info.flat_index,
            current=info.current,
            flat_current=info.flat_current,
        )
    if plant is not None:
        plant(transmission)
    retrieved = hipct.paganin(transmission, **BEAM, delta_beta=1500.0)
    return hipct.line_integral(retrieved[:, middle - band.start])


striped_scan, clean_scan = simulated(0.03, "striped.zarr"), simulated(0.0, "clean.zarr")
striped, clean = sinogram_of(striped_scan), sinogram_of(clean_scan)
truth = load_truth(clean_scan)
with hipct.open_scan(clean_scan) as scan:
    angles = scan.info.angles_rad
row, axis = SIZE["rows"] // 2, truth.setup.axis_px


def slice_of(sinogram):
    """The slice of a sinogram (angles, columns), in 1/cm."""
    return hipct.fbp(sinogram[None], angles, axis, pixel_size_um=BEAM["pixel_size_um"])[0]


wanted = truth.volume(slice(row, row + 1), size=SIZE["columns"])[0]
before, ideal = slice_of(striped), slice_of(clean)
grid = np.arange(len(wanted)) - (len(wanted) - 1) / 2
inside = np.hypot(grid, grid[:, None]) < 0.93 * len(wanted) / 2
grey = {"vmin": -0.03, "vmax": 0.09}

figure, panels = plt.subplots(1, 4, figsize=(10.5, 2.9), layout="constrained")
panels[0].imshow(striped, aspect="auto", vmin=-0.002, vmax=0.03)
panels[0].set(title=r"sinogram of $\mu t$, a stripe", xlabel="column", ylabel="view")
for panel, (title, picture) in zip(
    panels[1:], (("slice, half a ring", before), ("the same without", ideal), ("truth", wanted))
):
    panel.imshow(picture, **grey)
    panel.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# The stripe (column 85) comes from a spot of the scintillator whose gain differs between flats and
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
    ("striped", striped, before),
    ("without", clean, ideal),
):
    stripes, rings = stripe_score(sinogram[None]), ring_score(picture[None])
    print(
        f"{name}: stripes {float(stripes.ring_rms[0]):.1e} ({float(stripes.score[0]):.2f} of the "
        f"noise), rings {float(rings.ring_rms[0]):.1e} 1/cm ({float(rings.score[0]):.2f})"
    )
figure, panels = plt.subplots(1, 2, figsize=(10.5, 2.9), layout="constrained")
panels[0].plot((striped - clean).mean(axis=0))
panels[0].set(xlabel="column", ylabel=r"$\mu t$", title="mean over the views, less that without")
drawn = panels[1].imshow(before - ideal, vmin=-0.02, vmax=0.02)
panels[1].set(title="what the stripe becomes", xticks=[], yticks=[])
figure.colorbar(drawn, ax=panels[1], label=r"$\mu$ (1/cm)")
plt.show()

# %% [markdown]
# The scan without stripes has rings too, a third as strong and hardly to be seen: its flats have
# noise, which is the same in all views.
#
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


def all_methods(sinogram):
    """The slice of a sinogram by each method."""
    made = {name: slice_of(method(sinogram.copy())) for name, method in METHODS.items()}
    return made | {"polar": remove_rings_polar(made["none"][None].copy())[0]}


def rings_of(picture):
    """Strength of the rings of a slice, in 1/cm."""
    return float(ring_score(picture[None]).ring_rms[0])


slices, unharmed = all_methods(striped), all_methods(clean)
print(f"{'method':12} rings (1/cm)   error (1/cm)   damage (1/cm)")
for name, picture in slices.items():
    print(
        f"{name:12} {rings_of(picture):12.1e} {rms(picture - wanted):14.1e} "
        f"{rms(unharmed[name] - ideal):15.1e}"
    )
print(f"{'no stripes':12} {rings_of(ideal):12.1e} {rms(ideal - wanted):14.1e}")

# %%
names = ("sorting", "wavelet", "all", "regularised", "polar")
figure, panels = plt.subplots(2, 5, figsize=(10.5, 4.6), layout="constrained")
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
# and dead columns; on this soft stripe they cost more than they bring. *polar* does the least
# damage and takes little of this ring: its correction fades out within 40 pixels of the axis, and
# its arc of 100 pixels is longer than half the circle.
#
# ## Faults of another kind
#
# Two of those are planted into the transmission of the scan without stripes, before phase
# retrieval: a column that flickers at random by 30 %, and a scratch, ten columns wide, that
# takes 2 % of the light.

# %%
WIDE, FLICKER = int(0.3 * SIZE["columns"]), int(0.62 * SIZE["columns"])


def plant(transmission):
    """A scratch, and a column that flickers, in all rows."""
    transmission[:, :, WIDE : WIDE + 10] *= 0.98
    noise = np.random.default_rng(1).normal(1, 0.3, (len(transmission), 1))
    transmission[:, :, FLICKER] *= noise.clip(0.1)


harsh = all_methods(sinogram_of(clean_scan, plant))
print(f"{'method':12} rings (1/cm)   error (1/cm)")
for name, picture in harsh.items():
    print(f"{name:12} {rings_of(picture):12.1e} {rms(picture - wanted):14.1e}")
figure, panels = plt.subplots(1, 5, figsize=(10.5, 2.5), layout="constrained")
for panel, name in zip(panels, ("none", "sorting", "large", "all", "polar"), strict=True):
    panel.imshow(harsh[name], **grey)
    panel.set(title=name, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Now *large* and *all* leave the least. The scratch, which phase retrieval has widened further, is
# too wide for *sorting*, which takes stripes up to half of its median wide; and what flickers is
# not the same at every angle, so that it is no ring but streaks, which only *all* (and *dead*
# alone) knows. None leaves nothing: what can be mended before phase retrieval widens it, should be
# (`repair` replaces dead pixels, `double_flat` takes what all views have in common).
#
# ## Strength of one method
#
# The one parameter of the sorting method is the width of its median in columns: stripes up to
# about half of it go. Wider takes wider stripes, and more of the sample.

# %%
widths = (3, 5, 9, 15, 21, 31, 51, 81)
left, error, damage = [], [], []
for width in widths:
    treated = slice_of(hipct.remove_rings(striped[None].copy(), size_px=width)[0])
    intact = slice_of(hipct.remove_rings(clean[None].copy(), size_px=width)[0])
    left.append(rings_of(treated))
    error.append(rms(treated - wanted))
    damage.append(rms(intact - ideal))
figure, panel = plt.subplots(figsize=(8, 3.4), layout="constrained")
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
