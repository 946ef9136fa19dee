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
# # From projections to an atlas entry
#
# A whole organ is taller than the beam. It is scanned at many heights, and what comes out has to be
# one volume that anybody can open, who was not there: with its size, its grey values in physical
# units, and who and what was scanned. From a series of raw sub-scans to an entry beside those of
# the Human Organ Atlas, in five steps.
#
# Install with `pip install -e '.[notebooks,atlas,viewer]'`.

# %%
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display

import hipct
from hipct.atlas.catalogue import find_set, load_catalogue
from hipct.atlas.metadata import describe_volume, write_description
from hipct.atlas.opening import open_set
from hipct.simulation import load_series_truth

plt.rcParams.update({"figure.dpi": 84, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 9})
scratch = tempfile.TemporaryDirectory()  # goes with the kernel
folder = Path(scratch.name)

# %% [markdown]
# Everything below runs at the size of this cell. Real: 2048 columns, some hundred rows, 6000
# angles, 20 to 100 sub-scans; then take `hipct submit` for the second step. Of the volume only
# slices are read.

# %%
SIZE = {"sub_scans": 3, "columns": 128, "rows": 56, "angles": 360}

# %% [markdown]
# ## 1. The series
#
# Sub-scans at three heights in half-acquisition. Neighbours have two fifths of their few rows in
# common; the outer 8 of each are not trusted. The motors are not perfect: every sub-scan stands a
# little off the height that its metadata say.

# %%
hipct.simulate_series(
    folder / "series",
    **SIZE,
    overlap=0.4,
    axis=0.8 * SIZE["columns"],
    acquisition="half",
    pixel_size_um=20.0,
    distance_m=8.0,
    energy_kev=90.0,
    delta_beta=1500.0,
    position_error_px=1.5,
    noise=20000.0,
    rings=0.002,
    seed=11,
)
with hipct.open_series(folder / "series") as series:
    shown = []
    for member in series.members:
        scan = member.scan
        every = slice(0, scan.info.rows)
        view = hipct.flat_field(
            scan.read_projections(slice(0, 1), every),
            scan.read_flats(every),
            scan.read_darks(every),
        )
        shown.append(view[0])
figure, panels = plt.subplots(1, len(shown), figsize=(10.5, 2), layout="constrained")
for number, (panel, view) in enumerate(zip(panels, shown, strict=True)):
    drawn = panel.imshow(view, vmin=0.94, vmax=1.04)
    panel.set(title=f"sub-scan {number}, first view", xticks=[], yticks=[])
figure.colorbar(drawn, ax=panels, label="T")
plt.show()

# %% [markdown]
# ## 2. One volume
#
# One call: flat field, phase retrieval, axes, heights, seams and reconstruction of all sub-scans,
# streamed in slabs into a 16-bit OME-Zarr pyramid. On the command line it is
# `hipct reconstruct series -o organ.ome.zarr --set phase.delta_beta=1500`.

# %%
config = hipct.Config(phase={"delta_beta": 1500.0})
result = hipct.reconstruct(folder / "series", folder / "organ.ome.zarr", config)
volume = hipct.open_volume(result.path)
for number, level in enumerate(volume.levels):
    size = " x ".join(str(length) for length in level.array.shape)
    print(f"level {number}: {size} voxels of {level.scale[0]:.0f} um")

depth, height, width = volume.shape
grey = {"vmin": -0.03, "vmax": 0.09}
planes = (
    ("z, middle: (y, x)", np.s_[depth // 2]),
    ("y, middle: (z, x)", np.s_[:, height // 2]),
    ("x, middle: (z, y)", np.s_[:, :, width // 2]),
)
figure, panels = plt.subplots(1, 3, figsize=(10.5, 3), layout="constrained")
for panel, (title, plane) in zip(panels, planes, strict=True):
    drawn = panel.imshow(volume.physical(0, plane), **grey)
    panel.set(title=title, xticks=[], yticks=[])
figure.colorbar(drawn, ax=panels, shrink=0.8, label=r"$\mu$ (1/cm)")
plt.show()

# %% [markdown]
# Where do the sub-scans lie, and which axes do they have? The run has measured both, and its
# provenance says so. Are the grey values those of the organ? The simulated truth knows.

# %%
truth = load_series_truth(folder / "series")
steps = np.diff(truth.offsets_px)
measured = volume.provenance["series"]["sub_scans"]
for number, part in enumerate(measured):
    print(f"{part['name']}: axis {part['axis_px']:.2f}, true {truth.axes_px[number]:.2f}", end="")
    if number:
        step = part["offset_px"] - measured[number - 1]["offset_px"]
        print(f"; {step:.2f} rows above the one before, true {steps[number - 1]:.2f}", end="")
    print()
# The volume begins with the first trusted row of the first sub-scan, where that truly was.
first = round(float(truth.offsets_px[0]) + measured[0]["rows"][0])
heights = range(0, min(depth, truth.rows - first), max(depth // 100, 1))
grid = np.arange(width) - (width - 1) / 2
inside = np.hypot(grid, grid[:, None]) < 0.9 * width / 2
by_row = []
for z in heights:
    wanted = truth.volume(slice(first + z, first + z + 1), size=width)[0]
    by_row.append(np.sqrt(np.mean((volume.physical(0, z) - wanted)[inside] ** 2)))
wanted = truth.volume(slice(first + depth // 2, first + depth // 2 + 1), size=width)[0]
figure, panels = plt.subplots(1, 2, figsize=(10.5, 2.9), layout="constrained")
panels[0].plot(heights, by_row)
for part in measured[1:]:
    panels[0].axvline(part["rows"][0] - measured[0]["rows"][0], color="0.8", linewidth=0.8)
panels[0].set(xlabel="z (voxels; grey: where sub-scans begin)", ylabel="rms error (1/cm)")
panels[0].set_ylim(0, None)
panels[1].plot(volume.physical(0, np.s_[depth // 2, height // 2]), label="reconstructed")
panels[1].plot(wanted[height // 2], label="truth")
panels[1].set(xlabel="x (voxels)", ylabel=r"$\mu$ (1/cm)", title="across the middle slice")
panels[1].legend()
plt.show()

# %% [markdown]
# The error is least within a sub-scan and where two are blended. It grows towards the ends of each,
# where phase retrieval has no rows beyond the detector and takes their mirror image: that is the
# faint banding in the picture above. A kernel of 6 pixels reaches far into 56 rows; real detectors
# have some hundred, and `hipct plan` says how many rows the kernel needs.
#
# ## 3. What the volume tells of itself
#
# A pyramid of means of 2 x 2 x 2 voxels, each level with its voxel size and place; the window
# that turns 16-bit grey values back into 1/cm; and everything that was decided: settings,
# versions, what was found. `hipct inspect organ.ome.zarr` prints it, `hipct check` reads every
# voxel of it once.

# %%
grey_step = (result.window.high - result.window.low) / 65535
print(f"grey 0 to 65535: {result.window.low:.3f} to {result.window.high:.3f} 1/cm")
print(f"one grey value:  {grey_step:.1e} 1/cm")
print("recorded:", ", ".join(sorted(volume.provenance)))
print("settings of phase retrieval:", volume.provenance["config"]["phase"]["delta_beta"])

# %% [markdown]
# ## 4. A picture
#
# `hipct snapshot` draws a volume of any size without a screen: three slices, a projection of the
# largest value along oblique rays, a scale bar, physical units. It reads no level that is finer
# than the picture.

# %%
hipct.snapshot(result.path, size_px=260)

# %% [markdown]
# `hipct view organ.ome.zarr` shows it in napari, with its panels. Where there is a screen, a
# picture of that window can be taken like this, in a process of its own: a window wants the main
# thread, which the notebook has here.

# %%
PHOTOGRAPH = """
import sys, time
import hipct
from hipct.viewing.layers import reads_of
from qtpy.QtWidgets import QApplication

viewer = hipct.view(sys.argv[1], show=False)
viewer.show()
viewer.window.resize(1080, 680)
# Coarse voxels are there at once, finer ones come while the window is at work.
quiet, end = time.monotonic(), time.monotonic() + 60
while time.monotonic() < min(quiet + 2, end):
    QApplication.processEvents()
    time.sleep(0.01)
    if reads_of(viewer.layers[0]).pending:
        quiet = time.monotonic()
viewer.screenshot(sys.argv[2], canvas_only=False, flash=False)
viewer.close()
"""
if find_spec("napari") is None or not os.environ.get("DISPLAY"):
    print("A window of napari needs napari and a screen: pip install 'hipct[viewer]'")
else:
    arguments = [str(result.path), str(folder / "napari.png")]
    command = [sys.executable, "-c", PHOTOGRAPH, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=250)
    display(Image(arguments[1], width=880))

# %% [markdown]
# ## 5. The entry
#
# A data set of the [Human Organ Atlas](https://human-organ-atlas.esrf.fr) has a description with a
# schema. The volume tells its size, its voxels and what was recorded of the scan; a person tells
# who and what was scanned. What is missing is named, what contradicts the volume refused. Here name
# and titles say that it is simulated (the schema knows the proposals of the atlas alone, so that
# the number of one of them stands here).

# %%
GIVEN = {
    "name": "SIMULATED_heart_overview_20um",
    "dataset_type": "overview",
    "voi": "overview",
    "sample": {"organ": "heart"},
    "donor": {"id": "SIMULATED"},
    "scan": {
        "date": "2026-01-01",
        "beamline": "BM18",
        "scan_type": "zseries",
        "scan_range": 360.0,
    },
    "proposal": {"proposal_number": "md1290", "title": "Simulated organ", "proposers": []},
    "citation": {"title": "Simulated organ", "contributors": [], "author_list": []},
}

if find_spec("hoa_tools") is not None:
    description = describe_volume(volume, GIVEN)
    lab = folder / "lab"
    for file in write_description(description, lab):
        print(file.name, f"{file.stat().st_size} bytes")
    known = {key: value for key, value in description.atlas["scan"].items() if value is not None}
    print(json.dumps(known, indent=1))
else:
    print("Without hoa-tools there is no description: pip install 'hipct[atlas]'")

# %% [markdown]
# The folder `lab` now is an atlas of its own. Its data sets stand beside the public ones, in
# Python, in `hipct atlas list --with lab` and in the window of `hipct atlas browse`. They are
# opened in the same way, level by level, and read only where somebody looks.

# %%
if find_spec("hoa_tools") is not None:
    catalogue = load_catalogue(lab)
    entry = find_set(catalogue, "SIMULATED")
    print(f"{len(catalogue)} data sets, one of them {entry.name}")
    print(f"{entry.kind} of a {entry.organ}, {entry.shape} voxels of {entry.voxel_size_um} um")
    opened = open_set(entry)
    print(f"{opened.format}, {len(opened.levels)} levels")
    coarse = opened.level(len(opened.levels) - 1)
    print(f"coarsest: {coarse.array.shape} voxels of {coarse.voxel_size_um} um")
else:
    print("Without hoa-tools there is no catalogue: pip install 'hipct[atlas]'")

# %% [markdown]
# ## Where to go from here
#
# - `hipct register ZOOM OVERVIEW` finds where a zoom lies in this volume, and stores it.
# - `hipct view organ.ome.zarr zoom.ome.zarr` opens both in one space.
# - `docs/atlas.md` has the public data sets, downloads and places.
