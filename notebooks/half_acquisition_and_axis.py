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
# # Half-acquisition and the rotation axis
#
# A detector of $N$ columns sees a sample of $N$ pixels across, if the rotation axis stands in its
# middle: 180 degrees are enough. With the axis near one edge, and 360 degrees, the same detector
# sees nearly $2N$: each view shows one side of the sample, and the view half a turn later the other
# side, mirrored. Everything depends on where the axis is. This page shows what an error does, how
# the axis is found, and how to see for yourself that it was.
#
# Install with `pip install -e '.[notebooks]'`.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hipct
from hipct.live.scan import LiveScan
from hipct.live.sweep import sweep
from hipct.live.tuning import Tuning
from hipct.reconstruction.half import extended_width, lateral_weights, overlap_width
from hipct.simulation import load_truth

plt.rcParams.update({"figure.dpi": 84, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 9})
scratch = tempfile.TemporaryDirectory()  # goes with the kernel
folder = Path(scratch.name)

# %% [markdown]
# Everything below runs at the size of this cell; 2048 columns and rows with 6000 views is real
# size. The scan then takes 50 GB of disk and hours to simulate; of it no more than 128 rows around
# the middle are looked at, with 20 GB of memory.

# %%
SIZE = {"columns": 160, "rows": 32, "angles": 500}
AXIS = 0.8275 * SIZE["columns"]
BEAM = {"pixel_size_um": 20.0, "distance_m": 8.0, "energy_kev": 90.0, "delta_beta": 1500.0}

hipct.simulate_scan(
    folder / "scan.zarr",
    acquisition="half",
    **SIZE,
    **BEAM,
    axis=AXIS,
    noise=20000.0,
    rings=0.002,
    seed=5,
)
truth = load_truth(folder / "scan.zarr")
with hipct.open_scan(folder / "scan.zarr") as scan:
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
retrieved = hipct.paganin(transmission, **BEAM)
lines = hipct.line_integral(retrieved)
row, columns = middle - band.start, info.columns
print(f"{columns} columns, axis {AXIS:.1f}: slices {extended_width(columns, AXIS)} pixels wide")
print(f"seen from both sides: {overlap_width(columns, AXIS):.1f} columns")

# %% [markdown]
# ## Two views that are one
#
# The ray at the distance $t$ from the axis at the angle $\theta$ is the ray at $-t$ at
# $\theta + \pi$. With the axis at the column $a$, the column $c$ of one view is the column $2a - c$
# of the opposite one. Only the strip around the axis is seen by both.


# %%
def opposite_views(axis, number=40):
    """Columns as distances from the axis, and two opposite rows on them."""
    other = number + info.projections // 2
    place = np.arange(columns) - axis
    return place, lines[number, row], -place, lines[other, row]


figure, panels = plt.subplots(1, 3, figsize=(10.5, 3), layout="constrained")
for panel, error in zip(panels[:2], (0.0, 4.0), strict=True):
    place, one, mirrored, other = opposite_views(AXIS + error)
    panel.plot(place, one, label=r"$\theta$")
    panel.plot(mirrored, other, label=r"$\theta + 180$ degrees, mirrored")
    half = min(AXIS + error, columns - 1 - AXIS - error)
    panel.axvspan(-half, half, color="0.9")
    panel.set(xlabel="distance from the axis (pixels)", ylabel=r"$\mu t$")
    panel.set(xlim=(-0.4 * columns, 0.4 * columns), ylim=(0.6 * one.max(), 1.05 * one.max()))
    panel.set_title("at the true axis" if error == 0 else f"an axis {error:g} pixels off")
panels[0].legend(fontsize=7)
shown = np.linspace(-20, columns - 1 + 0.4 * columns, 400)
panels[2].plot(shown - AXIS, lateral_weights(shown, columns, AXIS), label=r"$w(t)$")
panels[2].plot(AXIS - shown, lateral_weights(shown, columns, AXIS), label=r"$w(-t)$")
panels[2].set(xlabel="distance from the axis (pixels)", title="weights, which add up to 1")
panels[2].set_xlim(-0.4 * columns, 0.4 * columns)
panels[2].legend()
plt.show()

# %% [markdown]
# In the strip (grey) each ray is measured twice and has to count once. The weights are half a
# period of a sine, without a corner, and they are applied *before* the ramp filter: a weighted row
# is smooth where it ends, so that the filter sees no cut. Filtered first and blended afterwards, as
# is common, the cut leaves an error (`python -m benchmarks.half` measures it).
#
# ## Finding it
#
# `find_axis` moves mirrored opposite views over each other for every possible axis and keeps the
# one of least difference, measured by the noise, then refines it to a fraction of a pixel on all
# columns that are seen twice. It says how far to trust the value.

# %%
estimate = hipct.find_axis(transmission, info.angles_rad, acquisition="half")
smooth = hipct.find_axis(retrieved, info.angles_rad, acquisition="half")
for name, found in (("fringes", estimate), ("retrieved", smooth)):
    print(
        f"{name:9}: {found.value:.3f} +- {found.uncertainty_px:.3f}, "
        f"confidence {found.confidence:.2f}, off by {found.value - AXIS:+.3f}"
    )


def mirror_difference(images, axis):
    """rms of opposite views against each other in the strip that both see, by an axis."""
    half = min(axis, columns - 1 - axis)
    t = np.arange(-np.floor(half), np.floor(half) + 1)
    pairs = info.projections // 2
    grid = np.arange(columns)
    differences = []
    for number in range(0, pairs, 5):
        one = np.interp(axis + t, grid, images[number, row])
        other = np.interp(axis - t, grid, images[number + pairs, row])
        differences.append(np.mean((one - other) ** 2))
    return float(np.sqrt(np.mean(differences)))


axes = np.arange(AXIS - 12, AXIS + 12.1, 0.25)
figure, panels = plt.subplots(1, 2, figsize=(10.5, 2.8), layout="constrained")
for panel, (name, images) in zip(
    panels, (("transmission, with its fringes", transmission), ("after retrieval", lines))
):
    panel.plot(axes, [mirror_difference(images, axis) for axis in axes])
    panel.axvline(AXIS, color="tab:orange", label="true axis")
    panel.set(xlabel="axis (column)", ylabel="rms difference", title=name)
    panel.legend()
plt.show()

# %% [markdown]
# A plain difference of one row, as drawn here, has its minimum there too. Before retrieval it is
# narrow, as fringes are; beside it there is nothing to go by but the saw-tooth of interpolation,
# which smooths the noise between two columns. After retrieval it is wide and smooth, and can be
# found from afar.
#
# ## What an error does
#
# A ray that is taken for its neighbour blurs. Over 360 degrees a point would become a circle of the
# radius of the error; outside of the strip it is seen for half a turn only, and becomes half a
# circle, open to the one side (axis too small) or to the other. Edges double.


# %%
def slice_at(axis, size):
    """The slice of the middle row with any axis, (size, size) in 1/cm."""
    return hipct.fbp(
        lines[:, row][None],
        info.angles_rad,
        axis,
        acquisition="half",
        pixel_size_um=BEAM["pixel_size_um"],
        size=size,
    )[0]


size = extended_width(columns, AXIS)
wanted = truth.volume(slice(middle, middle + 1), size=size)[0]
grey = {"vmin": -0.03, "vmax": 0.09}
grid = np.arange(size) - (size - 1) / 2
inside = np.hypot(grid, grid[:, None]) < 0.95 * size / 2
figure, panels = plt.subplots(1, 4, figsize=(10.5, 2.9), layout="constrained")
for panel, error in zip(panels, (-3.0, 0.0, 3.0), strict=False):
    panel.imshow(slice_at(AXIS + error, size), **grey)
    panel.set(title=f"axis {error:+g} pixels", xticks=[], yticks=[])
panels[3].imshow(wanted, **grey)
panels[3].set(title="truth", xticks=[], yticks=[])
plt.show()

offsets = np.array([-4, -2, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 2, 4])
errors = []
for offset in offsets:
    errors.append(np.sqrt(np.mean((slice_at(AXIS + offset, size) - wanted)[inside] ** 2)))
figure, panel = plt.subplots(figsize=(6, 2.8), layout="constrained")
panel.plot(offsets, errors, "o-")
panel.set(xlabel="error of the axis (pixels)", ylabel="rms error (1/cm)", ylim=(0, None))
plt.show()
least = errors[list(offsets).index(0)]
for offset, error in zip(offsets, errors, strict=True):
    if offset in {0.25, 0.5, 1, 2}:
        print(f"{offset:4.2f} pixels off: {error / least:.2f} times the error of the true axis")

# %% [markdown]
# A quarter of a pixel raises the error by a quarter, one pixel nearly triples it; three are plain
# in the picture.
#
# ## By eye
#
# The same can be seen on a raw scan without a truth: a sweep over the axis, on a region far from
# it, where edges double first. `hipct view --live` has it as a slider.

# %%
with LiveScan(folder / "scan.zarr", hipct.Config(phase={"delta_beta": BEAM["delta_beta"]})) as live:
    start = Tuning(live)
    found = live.axis_px
    far = (slice(int(0.28 * size), int(0.72 * size)), slice(int(0.03 * size), int(0.47 * size)))
    values = [round(found + offset, 2) for offset in (-4, -2, 0, 2, 4)]
    swept = sweep(start, "axis.value", values, z=middle, region=far)
    figure, panels = plt.subplots(1, 5, figsize=(10.5, 2.4), layout="constrained")
    for panel, picture, label in zip(panels, swept.stack, swept.labels, strict=True):
        panel.imshow(picture, **grey)
        panel.set(title=label.replace("rotation ", ""), xticks=[], yticks=[])
    plt.show()

# %% [markdown]
# ## How much has to be common
#
# The more of the detector is seen twice, the surer the axis, and the narrower the field. Here the
# same scan is cropped on the side of the axis, until nothing is left to compare.

# %%
print("common columns   axis found (error)   confidence")
for share in (0, 0.05, 0.1, 0.1125, 0.125):
    cut = round(share * columns)
    kept = transmission[:, :, : columns - cut]
    common = overlap_width(columns - cut, AXIS)
    found = hipct.find_axis(
        kept, info.angles_rad, acquisition="half", min_overlap=max(int(common) - 6, 8)
    )
    off = found.value - AXIS
    print(f"{common:14.1f}   {found.value:10.2f} ({off:+.2f})   {found.confidence:10.2f}")

# %% [markdown]
# A confidence below 0.5 is a value to be looked at: sweep it by eye, give `axis.value`, or a hint
# from the motors (`axis.hint`).
#
# The axis of a full scan, 180 degrees with the axis near the middle, is found in the same way by
# mirrored pairs of views (and, where the scan is large enough, by the spectrum of its sinogram,
# which is empty outside of a double wedge; Vo et al., Opt. Express 22 (2014) 19078). The upper and
# the lower rows tell whether the axis is tilted.

# %%
hipct.simulate_scan(
    folder / "full.zarr",
    acquisition="full",
    columns=SIZE["columns"],
    rows=16,
    angles=SIZE["angles"] // 2,
    **BEAM,
    noise=20000.0,
    seed=6,
)
with hipct.open_scan(folder / "full.zarr") as scan:
    every = slice(0, scan.info.rows)
    full = hipct.flat_field(
        scan.read_projections(slice(0, scan.info.projections), every),
        scan.read_flats(every),
        scan.read_darks(every),
        projection_index=scan.info.projection_index,
        flat_index=scan.info.flat_index,
    )
    found = hipct.find_axis(full, scan.info.angles_rad, acquisition="full")
for each in found.candidates:
    print(f"{each.method:18} {each.value:.2f} +- {each.uncertainty_px:.2f}")
print(f"true               {load_truth(folder / 'full.zarr').setup.axis_px:.2f}")
