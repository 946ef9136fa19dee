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
# # A first reconstruction
#
# From raw detector counts to a volume in 1/cm, one step at a time, on a simulated scan whose truth
# is known. Every step is one function of arrays; at the end the same chain runs as one streamed
# job.
#
# The scan is a small HiP-CT scan: soft tissue, 90 keV, half-acquisition (the rotation axis stands
# near one edge of the detector and the sample turns by 360 degrees, so that the field of view
# nearly doubles), and 8 m between sample and detector, so that refraction becomes visible.
#
# Install with `pip install -e '.[notebooks]'` and open this page in Jupyter.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hipct
from hipct.simulation import load_truth

plt.rcParams.update({"figure.dpi": 84, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 9})
scratch = tempfile.TemporaryDirectory()  # goes with the kernel
folder = Path(scratch.name)

# %% [markdown]
# Everything below runs at the size of this cell; 2048 columns and rows with 6000 views is real
# size. The scan then takes 50 GB of disk, its simulation hours, and the steps, which look at no
# more than 128 rows around the middle, 40 GB of memory.

# %%
SIZE = {"columns": 192, "rows": 128, "angles": 700}
AXIS = 0.835 * SIZE["columns"]
BEAM = {"pixel_size_um": 10.0, "distance_m": 8.0, "energy_kev": 90.0}
DELTA_BETA = 1500.0

# %% [markdown]
# ## The scan
#
# The simulated organ is made of ellipsoids, membranes and a branching vessel. Its projections are
# computed analytically, the wave behind it is propagated to the detector (Fresnel), and the
# detector adds blur, Poisson noise, a beam that drifts, and pixels that respond unevenly.

# %%
hipct.simulate_scan(
    folder / "scan.zarr",
    acquisition="half",
    **SIZE,
    **BEAM,
    delta_beta=DELTA_BETA,
    drift=0.002,
    axis=AXIS,
    seed=7,
)
truth = load_truth(folder / "scan.zarr")
scan = hipct.open_scan(folder / "scan.zarr")
info = scan.info
print(f"{info.projections} projections of {info.rows} x {info.columns} pixels, {info.dtype}")
print(f"{np.rad2deg(np.ptp(info.angles_rad)):.1f} degrees, {info.acquisition}-acquisition")
print(f"pixel {info.pixel_size_um} um, distance {info.distance_m} m, energy {info.energy_kev} keV")

# %% [markdown]
# ## Counts
#
# The detector stores counts: $P$ with the sample, $F$ without it (flat), $D$ without beam (dark).
# The beam's profile and the scintillator dominate $P$; the sample hardly shows.

# %%
row = info.rows // 2
band = slice(max(row - 64, 0), min(row + 64, info.rows))
projections = scan.read_projections(slice(0, info.projections), band)
flats = scan.read_flats(band)
darks = scan.read_darks(band)
row -= band.start


def show(axes, image, title, **options):
    """One picture with its own grey scale beside it."""
    drawn = axes.imshow(image, **options)
    axes.set_title(title)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.7)


figure, panels = plt.subplots(1, 3, figsize=(10.5, 2.5), layout="constrained")
show(panels[0], projections[0], "projection P (counts)")
show(panels[1], flats[0], "flat F (counts)")
show(panels[2], darks[0], "dark D (counts)")
for panel in panels:
    panel.set(xlabel="column", ylabel="row")
plt.show()

# %% [markdown]
# ## Flat field
#
# $$T = \frac{(P - D)/I_P}{(F - D)/I_F}$$
#
# with $F$ interpolated in time between the flats before and after each projection, and $I$ the
# machine current at the time of the frame. What remains in the transmission $T$ is the sample, and
# in the sample mostly *edges*: bright and dark fringes, the mark of refraction. Absorption itself
# takes 1.5 % of the beam here, no more than the noise of one pixel.

# %%
transmission = hipct.flat_field(
    projections,
    flats,
    darks,
    projection_index=info.projection_index,
    flat_index=info.flat_index,
    current=info.current,
    flat_current=info.flat_current,
)
true_lines = truth.attenuation(info.angles_rad[:1])[0, band]
figure, panels = plt.subplots(1, 2, figsize=(10.5, 3.2), layout="constrained")
show(panels[0], transmission[0], "transmission T", vmin=0.9, vmax=1.1)
panels[0].axhline(row, color="tab:orange", linewidth=0.8)
panels[0].set(xlabel="column", ylabel="row")
panels[1].plot(
    transmission[0, row], color="0.7", linewidth=0.8, label="T along the line on the left"
)
panels[1].plot(transmission[0, row - 4 : row + 5].mean(axis=0), label="mean of 9 rows")
panels[1].plot(np.exp(-true_lines[row]), label="absorption alone")
panels[1].set(xlabel="column", ylabel="T", ylim=(0.9, 1.1))
panels[1].legend()
plt.show()

# %% [markdown]
# ## Phase retrieval
#
# Paganin's filter (Paganin et al., J. Microsc. 206 (2002) 33) turns the fringes back into
# thickness. For a sample of one $\delta/\beta$,
#
# $$T' = \mathcal{F}^{-1}\!\left[
# \frac{\mathcal{F}[T]}{1 + \pi \lambda z\,(\delta/\beta)\,|f|^2}
# \right], \qquad \mu t = -\ln T'.$$
#
# It is a low-pass filter whose kernel decays like $\exp(-r/a)$ with
# $a = \sqrt{\lambda z (\delta/\beta) / 4\pi}\,/\,p$ pixels: noise goes, and the slowly varying
# attenuation, which was below the noise, comes out.

# %%
print(f"kernel length a = {hipct.kernel_length_px(**BEAM, delta_beta=DELTA_BETA):.1f} pixels")
retrieved = hipct.paganin(transmission, **BEAM, delta_beta=DELTA_BETA)
lines = hipct.line_integral(retrieved)

figure, panels = plt.subplots(1, 3, figsize=(10.5, 2.5), layout="constrained")
grey = {"vmin": -0.002, "vmax": 0.022}
show(panels[0], hipct.line_integral(transmission[:1])[0], r"$-\ln T$: fringes and noise")
show(panels[1], lines[0], r"$-\ln T'$: attenuation", **grey)
show(panels[2], true_lines, r"true $\mu t$", **grey)
for panel in panels:
    panel.set(xlabel="column", ylabel="row")
plt.show()

# %% [markdown]
# ## Sinogram and rotation axis
#
# One detector row over all angles is a sinogram; every point of the sample draws a sine around the
# rotation axis. Here the axis stands near the right edge: the strip from the dashed line to that
# edge is seen from both sides, 180 degrees apart and mirrored, and the axis is found by bringing
# the two onto each other. The transmission before phase retrieval serves well here: its fringes are
# sharp. (Where noise hides them, retrieved rows are better; the whole job uses those.)

# %%
estimate = hipct.find_axis(transmission, info.angles_rad, acquisition="half")
print(f"axis {estimate.value:.3f} +- {estimate.uncertainty_px:.3f} ({estimate.method})")
print(f"true axis {truth.setup.axis_px:.2f}")

last = info.columns - 1
figure, panel = plt.subplots(figsize=(6, 4.6), layout="constrained")
show(panel, lines[:, row], r"sinogram of $\mu t$", aspect="auto", **grey)
panel.axvline(estimate.value, color="tab:orange", label="axis")
panel.axvline(
    2 * estimate.value - last, color="tab:orange", linestyle="--", label="from here on twice"
)
panel.set(xlabel="column", ylabel="projection")
panel.legend(loc="lower left")
plt.show()

# %% [markdown]
# ## Filtered back-projection
#
# `hipct.fbp` takes line integrals (slices, angles, columns) and returns slices in 1/cm, centred on
# the axis. In half-acquisition it weighs the strip that was seen twice before it filters, and the
# slice is nearly twice as wide as the detector.
#
# Without phase retrieval the slice shows edges only. With it, materials have their own grey values.
# Zero is the mounting medium, because the flats were taken through jar and medium.


# %%
def slice_of(line_integrals, axis):
    """The slice of one detector row, (n, n) in 1/cm."""
    return hipct.fbp(
        line_integrals[:, row][None],
        info.angles_rad,
        axis,
        acquisition="half",
        pixel_size_um=info.pixel_size_um,
    )[0]


without_phase = slice_of(hipct.line_integral(transmission), estimate.value)
with_phase = slice_of(lines, estimate.value)
at = band.start + row
true_slice = truth.volume(slice(at, at + 1), size=with_phase.shape[-1])[0]

figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
grey = {"vmin": -0.06, "vmax": 0.08}
show(panels[0], without_phase, r"without phase retrieval, $\mu$ (1/cm)", vmin=-1.5, vmax=1.5)
show(panels[1], with_phase, r"with phase retrieval, $\mu$ (1/cm)", **grey)
show(panels[2], true_slice, r"truth, $\mu$ (1/cm)", **grey)
for panel in panels:
    panel.set(xlabel="x", ylabel="y")
plt.show()

# %% [markdown]
# The scale is absolute: tissue reads the $\mu$ by which it exceeds the medium, not a grey value
# scaled to look right. What differs from the truth is noise, blur at thin membranes, and faint
# rings around the axis, from pixels that respond unevenly (`hipct.remove_rings` is for those).

# %%
middle = with_phase.shape[0] // 2
grid = np.arange(with_phase.shape[0]) - (with_phase.shape[0] - 1) / 2
inside = np.hypot(grid, grid[:, None]) < 0.95 * with_phase.shape[0] / 2
error = np.sqrt(np.mean((with_phase - true_slice)[inside] ** 2))
tissue = np.median(true_slice[true_slice > 0.02])
level = np.median(with_phase[true_slice == tissue])
print(f"rms of slice - truth: {error:.4f} 1/cm")
print(f"tissue: {level:.4f} 1/cm, in truth {tissue:.4f} 1/cm")

figure, panel = plt.subplots(figsize=(9, 3.2), layout="constrained")
panel.plot(with_phase[middle], label="reconstructed")
panel.plot(true_slice[middle], label="truth")
panel.set(xlabel="x", ylabel=r"$\mu$ (1/cm)", title="across the middle of the slice")
panel.legend()
plt.show()

# %% [markdown]
# ## The choice of $\delta/\beta$
#
# The ratio belongs to the material and the energy (soft tissue at 90 keV: about 1500). Too small,
# and the fringes stay beside the edges; too large, and the edges are blurred. The mean over a
# region that is large against the kernel is the same, because the filter leaves the mean alone.

# %%
part = with_phase.shape[0] // 10
crop = (slice(3 * part, 8 * part), slice(2 * part, 7 * part))
figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
for panel, ratio in zip(panels, (DELTA_BETA / 5, DELTA_BETA, DELTA_BETA * 5), strict=True):
    filtered = hipct.paganin(transmission, **BEAM, delta_beta=ratio)
    picture = slice_of(hipct.line_integral(filtered), estimate.value)[crop]
    show(panel, picture, rf"$\delta/\beta$ = {ratio:.0f}, $\mu$ (1/cm)", vmin=-0.1, vmax=0.12)
    panel.set(xlabel="x", ylabel="y")
plt.show()

# %% [markdown]
# ## The whole job
#
# `hipct.reconstruct` (on the command line `hipct reconstruct scan.zarr -o organ.ome.zarr`) runs the
# same chain for all rows. It finds the axis and one 16-bit window for the volume, streams slabs
# through a memory budget, and writes an OME-Zarr pyramid with everything that it decided.

# %%
config = hipct.Config(phase={"delta_beta": DELTA_BETA})
result = hipct.reconstruct(scan, folder / "organ.ome.zarr", config)
scan.close()
print(f"axis {result.axis:.2f}, window {result.window.low:.3f} to {result.window.high:.3f} 1/cm")

volume = hipct.open_volume(result.path)
for number, level in enumerate(volume.levels):
    size = " x ".join(str(length) for length in level.array.shape)
    print(f"level {number}: {size} voxels of {level.scale[0]:.0f} um")

# %% [markdown]
# Three orthogonal slices through the finest level, in physical units again. What lies outside of
# the circle was never measured from all sides and is stored as 0. Each level averages
# 2 x 2 x 2 voxels of the one before it and says where its voxels lie, so that a viewer shows the
# same place at every magnification.

# %%
depth, height, width = volume.shape
planes = (
    ("z, middle: (y, x)", np.s_[depth // 2]),
    ("y, middle: (z, x)", np.s_[:, height // 2]),
    ("x, middle: (z, y)", np.s_[:, :, width // 2]),
)
figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
for panel, (title, plane) in zip(panels, planes, strict=True):
    show(panel, volume.physical(0, plane), title + r", $\mu$ (1/cm)", **grey)
plt.show()

# %% [markdown]
# The job found its own axis, from retrieved rows. With that axis the steps above give the slice
# that stands in the streamed volume, up to the rounding to 16 bits, which is half a grey value. (Of
# a taller scan than this one the steps do not see what lies beyond their 128 rows, and the job
# does.)

# %%
step = (result.window.high - result.window.low) / 65535
same = np.clip(slice_of(lines, result.axis), result.window.low, result.window.high)
difference = np.abs(same - volume.physical(0, at))[inside]
print(f"one grey value is {step:.1e} 1/cm, the largest difference {difference.max():.1e} 1/cm")

# %% [markdown]
# ## Where to go from here
#
# - `hipct view organ.ome.zarr` opens the volume in napari.
# - `hipct plan SCAN` says what a real scan needs in memory, disk and halo rows before it runs.
# - `docs/architecture.md` has the conventions: axes, signs, units.
