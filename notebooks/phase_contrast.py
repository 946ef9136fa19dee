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
# # Phase-contrast parameters
#
# What energy, distance, $\delta/\beta$ and an unsharp mask do to an image, on a simulated organ
# whose truth is known. At the end the same functions look at a scan of your own.
#
# X-rays see a material as a refractive index $n = 1 - \delta + i\beta$. Behind a sample, $\beta$
# has taken away intensity, $\mu = 4\pi\beta/\lambda$, and $\delta$ has bent the wave front,
# $\varphi = -\frac{2\pi}{\lambda}\int\delta\,\mathrm{d}s$. At 90 keV soft tissue has a $\delta$
# that is 1500 times its $\beta$. A bent wave front is no contrast yet: it becomes one on its way to
# the detector, over the distance $z$.
#
# Install with `pip install -e '.[notebooks]'`.

# %%
import io
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display
from matplotlib.figure import Figure

import hipct
from hipct.core.physics import wavelength_m
from hipct.live.figures import kernel_px, measured
from hipct.live.halves import halves
from hipct.live.scan import LiveScan
from hipct.live.sweep import sweep
from hipct.live.tuning import Tuning
from hipct.phase.contrast import propagation_number
from hipct.phase.distances import ctf
from hipct.phase.materials import interface_delta_beta
from hipct.phase.nonlinear import NonlinearFilter
from hipct.simulation import load_truth
from hipct.simulation.anatomy import TISSUE, build_organ
from hipct.simulation.scan import delta_per_mu_cm
from hipct.volume.edges import mean_edge

plt.rcParams.update({"figure.dpi": 84, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 9})
scratch = tempfile.TemporaryDirectory()  # goes with the kernel
folder = Path(scratch.name)

# %% [markdown]
# Everything below runs at the size of this cell. A detector of 2048 x 2048 pixels of 20 um with
# 6000 views is real size: each of the five scans then takes 50 GB of disk and hours to simulate; of
# each only the rows of one slice are ever read.

# %%
SIZE = {"columns": 224, "rows": 48, "angles": 360}
PIXEL_UM = 20.0
ENERGY_KEV = 90.0
DISTANCE_M = 8.0
DELTA_BETA = 1500.0
PHOTONS = 5000.0  # per pixel and view, in the middle of the beam

# %% [markdown]
# ## Materials
#
# [xraylib](https://github.com/tschoonj/xraylib) has $\delta$ and $\beta$ from tabulated cross
# sections and scattering factors (Schoonjans et al., Spectrochim. Acta B 66 (2011) 776). Its
# $\beta$ is that of the *total* attenuation, $\lambda\mu/4\pi$, with Compton scattering, which is
# nearly all of $\mu$ of soft matter at these energies: what is scattered does not reach a detector
# far behind the sample. Mixtures add by mass. Composition and density of tissue, bone and paraffin
# are NIST's; 70 % ethanol is by volume (62.4 % by mass, 0.886 g/cm3); formalin is 4 % formaldehyde
# by mass in water (1.01 g/cm3).

# %%
MATERIALS = {
    "soft tissue (ICRP)": ({"Tissue, Soft (ICRP)": 1.0}, 1.00),
    "ethanol": ({"C2H5OH": 1.0}, 0.789),
    "ethanol, 70 %": ({"C2H5OH": 0.624, "H2O": 0.376}, 0.886),
    "formalin, 4 %": ({"CH2O": 0.04, "H2O": 0.96}, 1.01),
    "paraffin": ({"Paraffin Wax": 1.0}, 0.93),
    "cortical bone (ICRP)": ({"Bone, Cortical (ICRP)": 1.0}, 1.85),
}
HAS_XRAYLIB = find_spec("xraylib") is not None
if HAS_XRAYLIB:
    import xraylib
else:
    print("Without xraylib there is no look-up of materials: pip install xraylib")


def refraction(parts, density, energy_kev):
    """Delta and beta of a mixture {name or formula: part by mass} of a density in g/cm3."""
    of_parts = [
        (
            part * (1 - xraylib.Refractive_Index_Re(name, energy_kev, density)),
            part * xraylib.Refractive_Index_Im(name, energy_kev, density),
        )
        for name, part in parts.items()
    ]
    return np.sum(of_parts, axis=0)


if HAS_XRAYLIB:
    print(f"{f'at {ENERGY_KEV:g} keV':22} {'delta':>9} {'beta':>9} {'mu (1/cm)':>9} delta/beta")
    for name, material in MATERIALS.items():
        delta, beta = refraction(*material, ENERGY_KEV)
        mu = 4 * np.pi * beta / wavelength_m(ENERGY_KEV) / 100
        print(f"{name:22} {delta:9.2e} {beta:9.2e} {mu:9.3f} {delta / beta:10.0f}")

# %% [markdown]
# What phase retrieval needs is the ratio of what *changes* at an edge: with flats through jar and
# medium, the difference to the medium,
#
# $$\frac{\delta}{\beta} = \frac{\delta_1 - \delta_2}{\beta_1 - \beta_2}.$$
#
# Two soft materials differ mostly in density, so that their ratio stays near that of each. It need
# not: where the difference of $\beta$ passes through 0 the ratio has a pole, and no single value
# serves.
#
# HiP-CT uses a wide, filtered beam. A model of one: the spectrum of a bending magnet or a short
# wiggler with a critical energy of $E_c$ = 37.3 keV (6 GeV, 1.56 T), whose photons in a relative
# bandwidth go with $y\int_y^\infty K_{5/3}$, $y = E/E_c$ (over all vertical angles; Schwinger,
# Phys. Rev. 75 (1949) 1912), behind 30 mm of fused silica. Weights are the detected energy: photons
# times $E$ times what 2 mm of LuAG (Lu3Al5O12) stops.

# %%
if HAS_XRAYLIB:
    from scipy.integrate import quad
    from scipy.special import kv

    energies = np.arange(20.0, 301.0, 4.0)
    photons = [quad(lambda t: kv(5 / 3, t), energy / 37.3, np.inf)[0] for energy in energies]

    def transmitted(formula, density, thickness_cm):
        """Transmission of a plate of a density in g/cm3 at all energies."""
        mass = np.array([xraylib.CS_Total_CP(formula, energy) for energy in energies])
        return np.exp(-mass * density * thickness_cm)

    weight = np.array(photons) * transmitted("SiO2", 2.2, 3.0)
    weight *= energies * (1 - transmitted("Lu3Al5O12", 6.73, 0.2))
    weight /= weight.sum()
    mean_kev = (weight * energies).sum()

    def over_the_spectrum(values):
        """Mean delta, and the beta that has the mean mu at the mean energy."""
        delta, beta = values.T
        return (weight * delta).sum(), (weight * beta * energies).sum() / mean_kev

    table = {
        name: np.array([refraction(*material, energy) for energy in energies])
        for name, material in MATERIALS.items()
    }
    figure, panels = plt.subplots(1, 3, figsize=(10.5, 3), layout="constrained")
    panels[0].fill_between(energies, weight / weight.max(), color="0.8")
    panels[0].axvline(mean_kev, color="tab:orange", label=f"mean {mean_kev:.0f} keV")
    panels[0].set(xlabel="energy (keV)", ylabel="detected energy (relative)", title="spectrum")
    panels[0].legend()
    for name, values in table.items():
        panels[1].plot(energies, values[:, 0] * energies**2 * 1e4, label=name)
        panels[2].plot(energies, values[:, 0] / values[:, 1], label=name)
    panels[1].set(xlabel="energy (keV)", ylabel=r"$10^4\,\delta\,E^2$ (keV$^2$)", ylim=(0, None))
    panels[1].set(title=r"$\delta$ goes with $E^{-2}$")
    panels[2].set(xlabel="energy (keV)", ylabel=r"$\delta/\beta$", title="ratio")
    panels[2].legend(fontsize=7)
    plt.show()

    medium = over_the_spectrum(table["ethanol, 70 %"])
    print(f"{'delta/beta':22} at {mean_kev:.0f} keV  over the spectrum  against 70 % ethanol")
    for name, values in table.items():
        seen = over_the_spectrum(values)
        at_mean = np.divide(*refraction(*MATERIALS[name], mean_kev))
        against = "-"
        if name != "ethanol, 70 %":
            against = f"{interface_delta_beta(*medium, *seen):.0f}"
        print(f"{name:22} {at_mean:9.0f} {seen[0] / seen[1]:18.0f} {against:>21}")

# %% [markdown]
# A thin sample under a spectrum shows the means $\langle\mu\rangle$ and, in the transport of
# intensity, $\langle\delta\rangle$, so that the ratio to give together with the mean energy
# $\bar E$ is $4\pi\langle\delta\rangle / \lambda(\bar E)\langle\mu\rangle$. In this beam it is half
# as large again as that of the mean energy, because $\delta \propto E^{-2}$ favours the soft end of
# the spectrum. (Jar, medium and a thick sample harden the beam and narrow it: the step is smaller
# then.) Against the medium, tissue, ethanol and formalin have a ratio that lies 11 to 14 % below
# their own. Paraffin, which differs from 70 % ethanol in composition more than in $\mu$, has twice
# its own, and bone half of tissue's: a second material of that kind needs a value of its own
# (`phase.method: multi_material` with `phase.second_delta_beta`).
#
# ## Distance: how fringes grow
#
# To first order in $z$ the transport of intensity gives
#
# $$T(x) = e^{-\mu t} - \frac{\lambda z}{2\pi}\,\nabla\!\cdot\!\left(e^{-\mu t}\,\nabla\varphi
# \right)$$
#
# (Teague, J. Opt. Soc. Am. 73 (1983) 1434): fringes grow in proportion to $z$. The simulation does
# not use this formula: it propagates the wave itself (Fresnel).

# %%
SCAN = {
    "acquisition": "full",
    **SIZE,
    "pixel_size_um": PIXEL_UM,
    "noise": PHOTONS,
    "drift": 0.0,
    "rings": 0.0,
    "seed": 3,
}
hipct.simulate_scan(
    folder / "scan.zarr",
    distance_m=DISTANCE_M,
    energy_kev=ENERGY_KEV,
    delta_beta=DELTA_BETA,
    **SCAN,
)
truth = load_truth(folder / "scan.zarr")
setup = truth.setup
beam = {"pixel_size_um": PIXEL_UM, "distance_m": DISTANCE_M, "energy_kev": ENERGY_KEV}


def one_view(organ, distance_m, *, thicker=1.0, **changed):
    """A view of an organ without noise: transmission, and true mu t. Sizes as the scan's."""
    taken = replace(setup, distance_m=distance_m, **changed)
    imaging = taken.imaging
    fine = imaging.blank()
    organ.add_projection(fine, imaging.row_samples, imaging.column_samples(taken.axis_px), 0.0)
    fine *= np.float32(thicker)
    path_um = delta_per_mu_cm(DELTA_BETA, ENERGY_KEV) * 1e4  # delta's integral at a mu t of 1
    return imaging.image(fine, path_per_attenuation_um=path_um), imaging.on_pixels(fine)


def visibility(line):
    """Contrast of fringes, (bright - dark) / (bright + dark)."""
    return (line.max() - line.min()) / (line.max() + line.min())


row = SIZE["rows"] // 2
absorbed, lines = one_view(truth.organ, 0.0)
outer = int(np.argmax(lines[row] > 0.1 * lines[row].max()))
rim = slice(max(outer - 10, 0), outer + 11)
figure, panels = plt.subplots(1, 2, figsize=(10.5, 3.2), layout="constrained")
for distance in (0.0, 2.0, 8.0, 32.0):
    image, _ = one_view(truth.organ, distance)
    panels[0].plot(image[row, : SIZE["columns"] // 2], label=f"{distance:g} m", linewidth=1)
panels[0].axvspan(rim.start, rim.stop - 1, color="0.92", zorder=0)
panels[0].set(xlabel="column", ylabel="T", title="left half of a row, no noise; grey: outer rim")
panels[0].legend()

many_m = np.geomspace(0.25, 128, 10)
images = [one_view(truth.organ, distance)[0] for distance in many_m]
fringes = [np.std(image - absorbed) for image in images]
at_rim = [visibility(image[row, rim]) for image in images]
panels[1].loglog(many_m, at_rim, "s-", color="tab:green", label="visibility at the outer rim")
panels[1].loglog(many_m, fringes, "o-", label="rms of fringes")
panels[1].loglog(many_m, fringes[0] * many_m / many_m[0], "--", color="0.5", label=r"$\propto z$")
panels[1].axhline(np.std(absorbed), color="tab:orange", label="rms of absorption")
panels[1].axhline(PHOTONS**-0.5, color="tab:red", label="noise of a pixel")
panels[1].set(xlabel="distance (m)", ylabel="in T", title="contrast of fringes")
panels[1].legend(fontsize=7)
plt.show()
for distance in (2.0, 8.0, 32.0):
    number = propagation_number(**{**beam, "distance_m": distance})
    image, _ = one_view(truth.organ, distance)
    print(
        f"{distance:4g} m: lambda z/p^2 {number:.2f}, visibility at the rim "
        f"{visibility(image[row, rim]):.3f}, rms {np.std(image - absorbed):.4f}"
    )

# %% [markdown]
# Fringes grow in proportion to $z$ as long as $\lambda z/p^2$ is below 2 (60 m here), and then stay
# behind. Their rms matches that of absorption at 8 m. Both are below the noise of a pixel; of a
# single view only the strongest rims stand out, from 4 m on: absorption is spread over the whole
# organ, fringes stand where absorption has next to nothing, at fine structures.
#
# ## Where the linear regime ends
#
# Three conditions are easily mixed up.
#
# - **Pixels.** The contrast transfer function (CTF) of phase, $\sin(\pi\lambda z f^2)$ (Guigay,
#   Optik 49 (1977) 121), is a straight line in $f^2$ only where its argument is small. At the
#   highest frequency of the detector, $f = 1/2p$ along an axis, the argument is
#   $\frac{\pi}{4}\,\lambda z/p^2$. Below $\lambda z/p^2 \approx 1$ the line is off by less than
#   10 %; at 2 the function reaches its maximum there, and beyond it turns over within the
#   detector's frequencies.
# - **Strength.** The transport equation to first order in $z$ holds further only while refraction
#   leaves neighbouring rays beside each other: $\frac{\lambda z}{2\pi}|\nabla^2\varphi| \ll 1$,
#   which is to say while fringes are faint.
# - **One material.** Paganin's filter needs one $\delta/\beta$ (Paganin et al., J. Microsc. 206
#   (2002) 33). No distance mends that.
#
# The error of three retrievals against the truth, without noise, of a weak and of a strong phase
# object. Small pixels (2 um) reach a large $\lambda z/p^2$.

# %%
SMALL_PIXEL_UM = 2.0


def small_view(number, thicker):
    """Distance in m for a value of lambda z / p^2, transmission and true mu t of a small organ."""
    distance = number * (SMALL_PIXEL_UM * 1e-6) ** 2 / wavelength_m(ENERGY_KEV)
    side = SIZE["columns"] // 2
    whole = build_organ(0.3 * side * SMALL_PIXEL_UM, seed=3)
    size = {"rows": side, "columns": side, "axis_px": (side - 1) / 2}
    return distance, *one_view(
        whole, distance, thicker=thicker, pixel_size_um=SMALL_PIXEL_UM, **size
    )


def retrieval_errors(number, thicker):
    """Relative rms error of mu t by three retrievals at a value of lambda z / p^2."""
    distance, image, wanted = small_view(number, thicker)
    known = {
        "pixel_size_um": SMALL_PIXEL_UM,
        "energy_kev": ENERGY_KEV,
        "delta_beta": DELTA_BETA,
    }
    nonlinear = NonlinearFilter(*image.shape, distance_m=distance, **known)
    found = (
        hipct.paganin(image[None], distance_m=distance, **known),
        ctf(image[None, None], distances_m=[distance], **known),
        nonlinear.apply(image[None].copy()),
    )
    return [np.std(-np.log(each[0]) - wanted) / np.std(wanted) for each in found]


numbers = np.geomspace(0.1, 30, 6)
figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
frequency = np.linspace(0, 0.5, 200)
for number in (0.3, 1, 2, 10):
    panels[0].plot(frequency, np.sin(np.pi * number * frequency**2), label=f"{number:g}")
panels[0].legend(title=r"$\lambda z/p^2$")
panels[0].set(
    xlabel="frequency (1/pixel)", ylabel=r"$\sin(\pi\lambda z f^2)$", title="CTF of phase"
)
for panel, thicker in zip(panels[1:], (1.0, 20.0), strict=True):
    radians = small_view(0.1, thicker)[2].max() * DELTA_BETA / 2
    errors = np.array([retrieval_errors(number, thicker) for number in numbers])
    for name, line in zip(("Paganin", "CTF, one material", "non-linear"), errors.T, strict=True):
        panel.loglog(numbers, line, "o-", label=name)
    panel.axvline(2, color="0.7", linestyle="--", label="the CTF's maximum at 1/2p")
    panel.set(xlabel=r"$\lambda z/p^2$", title=f"phase up to {radians:.2g} rad", ylim=(5e-4, 0.4))
    print(f"phase up to {radians:.2g} rad, error in per cent")
    for number, line in zip(numbers, errors, strict=True):
        shown = ", ".join(f"{100 * error:.2f}" for error in line)
        print(f"  lambda z/p^2 {number:5.2f}: {shown} (Paganin, CTF, non-linear)")
panels[1].set(ylabel="relative rms error")
panels[1].legend(fontsize=7)
plt.show()

# %% [markdown]
# Weak objects (middle): up to $\lambda z/p^2 = 1$ the filters err by a thousandth. Beyond 2
# Paganin's fails first; retrieval by the CTF has half of its error at 10 and at 30, the non-linear
# fit of the wave a third. Strong objects (right): both filters fail alike and early, at 0.3
# already, whatever their transfer function, since it is the strength that breaks them; the fit has
# a third to two thirds of their error. Where nothing is wrong with the filters (left in both) they
# are the better choice: two thousandths of error remain in the fit itself. `docs/phase.md` has more
# of this, with noise.
#
# Of the public data sets of the Human Organ Atlas those with voxels above 15 um have a
# $\lambda z/p^2$ of 0.2 (median, by the distance and the voxel size in their metadata): the realm
# of Paganin's filter. Those with less than 8 um have 3, and one in twenty more than 9.
#
# ## Phase retrieval: one parameter
#
# $$\mu t = -\ln \mathcal{F}^{-1}\!\left[\frac{\mathcal{F}[T]}
# {1 + \pi\lambda z\,(\delta/\beta)\,|f|^2}\right]$$
#
# Energy, distance and $\delta/\beta$ enter as one product: a wrong distance is a wrong ratio.
# `LiveScan` and `Tuning` make any slice of a raw scan under any settings, with the numbers of
# `hipct reconstruct`; the explorer of `hipct view --live` stands on them too. `sweep` makes a slice
# at several values of one setting, with its figures.


# %%
def show_slices(swept, numbers, grey, truth=None, region=...):
    """Some pictures of a sweep on one grey scale (low, high), and the truth beside them."""
    pictures = [(swept.labels[number], swept.stack[number]) for number in numbers]
    if truth is not None:
        pictures.append(("truth", truth))
    _, panels = plt.subplots(
        1, len(pictures), figsize=(10.5, 10.5 / len(pictures) + 0.5), layout="constrained"
    )
    for panel, (title, picture) in zip(panels, pictures, strict=True):
        drawn = panel.imshow(picture[region], vmin=grey[0], vmax=grey[1])
        panel.set(title=title, xticks=[], yticks=[])
    panels[-1].figure.colorbar(drawn, ax=panels, shrink=0.7, label=rf"$\mu$ ({swept.unit})")
    plt.show()


live = LiveScan(folder / "scan.zarr", hipct.Config(phase={"delta_beta": DELTA_BETA}))
start = Tuning(live)
wanted = truth.volume(slice(row, row + 1), size=live.shape[-1])[0]
inside = measured(live)
print(f"axis {live.axis_px:.2f}, true {setup.axis_px:.2f}")

GREY = (-0.05, 0.10)
ratios = [float(value) for value in np.round(DELTA_BETA * 2.0 ** np.arange(-4, 4.5), 0)]
swept = sweep(start, "phase.delta_beta", ratios, z=row)
show_slices(swept, (1, 4, 7), GREY, wanted)

# %% [markdown]
# By eye: too small a ratio leaves bright and dark rims at edges, and grain everywhere; too large a
# one blurs. Edge profiles say the same in numbers. `mean_edge` takes the median over the steepest
# edges of a slice, each scaled to a step from 0 to 1; the rim beside them is a *halo*. Where an
# edge does not stand out of the noise by a factor of four it does not count, so that the smallest
# ratios have no profile.


# %%
def show_edges(swept, inside, pixel_um, truth=None):
    """The mean edge at each value of a sweep, and values along the middle row."""
    _, panels = plt.subplots(1, 2, figsize=(10.5, 3.2), layout="constrained")
    middle = swept.stack.shape[1] // 2
    for number, (picture, told) in enumerate(zip(swept.stack, swept.figures, strict=True)):
        label = swept.knob.text(swept.values[number])
        within = np.where(inside, picture, 0).astype(float)
        profile = mean_edge(within, inside, reach_px=20, noise=told.noise)
        if profile is not None:
            panels[0].plot(profile.place_px * pixel_um, profile.value, label=label)
        if number in {1, len(swept.stack) // 2, len(swept.stack) - 2}:
            panels[1].plot(picture[middle], linewidth=1, label=label)
    if truth is not None:
        panels[1].plot(truth[middle], "k", linewidth=1, label="truth")
    low, high = np.percentile(swept.stack[len(swept.stack) // 2], (0.5, 99.5))
    room = high - low
    panels[0].set(xlabel="distance from the edge (um)", ylabel="step", title="mean edge")
    panels[1].set(xlabel="x (pixels)", ylabel=rf"$\mu$ ({swept.unit})", title="middle row")
    panels[1].set(ylim=(low - room, high + room))
    for panel in panels:
        panel.legend(title=swept.knob.title, fontsize=7)
    plt.show()


show_edges(swept, inside, PIXEL_UM, wanted)

# %% [markdown]
# ## Objective scores
#
# `hipct.volume.figures` defines noise, contrast, sharpness (full width of the mean edge at half
# maximum) and halo: the height of the rim, positive where fringes are left, negative where the edge
# is smeared. Which of them may choose $\delta/\beta$?
#
# A ratio that is $r$ times too small leaves $(1 + rL^2k^2)/(1 + L^2k^2) = r + (1-r)/(1 + L^2k^2)$
# of a structure ($k = 2\pi f$, $L^2 = \lambda z(\delta/\beta)/4\pi$), so that a step has a rim of
# the height $h = (r - 1)/2$ that dies out with the kernel length $L$. The halo thus says not only
# that a ratio is too small, but by how much: the right one is $1 + 2h$ times as large.


# %%
def ratio_by_halo(swept):
    """The ratio that the rims at ratios which are too small speak for; None without rims."""
    told = [
        ratio * (1 + 2 * each.halo)
        for ratio, each in zip(swept.values, swept.figures, strict=True)
        if each.halo is not None and 0.2 < each.halo < 1.6
    ]
    return float(np.median(told)) if told else None


def show_scores(swept, right=None, error=None):
    """Figures over the values of a sweep; returns the ratio that its halos speak for."""
    halo = [each.halo for each in swept.figures]
    drawn = {
        "contrast to noise": [each.contrast_to_noise for each in swept.figures],
        "width of the edge (pixels)": [each.sharpness_px for each in swept.figures],
        "halo (of the step)": halo,
    }
    if error is not None:
        drawn["rms error (1/cm), needs the truth"] = error
    _, panels = plt.subplots(1, len(drawn), figsize=(10.5, 2.7), layout="constrained")
    for panel, (title, values) in zip(panels, drawn.items(), strict=True):
        panel.semilogx(swept.values, np.array(values, float), "o-")
        panel.set(xlabel=swept.knob.title, title=title)
        if right is not None:
            panel.axvline(right, color="tab:orange", linestyle="--", label="true")
    panels[2].axhline(0, color="0.7")
    if right is not None:
        panels[0].legend()
    plt.show()
    return ratio_by_halo(swept)


error = [np.sqrt(np.mean((picture - wanted)[inside] ** 2)) for picture in swept.stack]
chosen = show_scores(swept, DELTA_BETA, error)
for ratio, each in zip(ratios, swept.figures, strict=True):
    if each.halo is not None:
        right = ratio * (1 + 2 * each.halo)
        print(f"at {ratio:5.0f} the halo is {each.halo:+.2f}, which speaks for {right:.0f}")
print(f"by the halo {chosen:.0f}, least error at {ratios[int(np.argmin(error))]:.0f}, true 1500")

# %% [markdown]
# Contrast to noise rises without end: a filter that smooths more always wins by it, and it would
# choose the largest ratio. The width of an edge has no clear minimum near the true ratio either.
# The halo knows nothing of the truth and speaks for it: where it lies between 0.2 and 1.6, at
# ratios plainly too small, $1 + 2h$ leads to nearly the same value from each of them. (In twelve
# slices of four such organs the median was right within 8 % in ten, 12 and 21 % too high in two.)
# Its zero is a worse guide: the halo falls slowly there, and a real rim, such as the bright
# membranes here, counts as one.
#
# Choose a region with plain edges of the material that matters; of several materials each has a
# ratio of its own. Then look: the picture at the value found, and at half and twice of it.
#
# ## Noise power and resolution
#
# Even and odd views are two scans of one thing with independent noise (`hipct.live.halves`). Half
# the difference of their slices is the noise of the mean; its spectrum is the noise power
# $p^2/N^2\,\langle |\mathcal{F}|^2\rangle$ of squares of $N \times N$ pixels, in (1/cm)$^2$ um$^2$.
# Their Fourier ring correlation says up to which frequency both agree (half bit: van Heel & Schatz,
# J. Struct. Biol. 151 (2005) 250).


# %%
def show_noise(cases, z):
    """Noise power and correlation of several settings {name: tuning}."""
    _, panels = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained")
    for name, tuning in cases.items():
        told = halves(tuning.live, z)
        panels[0].semilogy(told.power.frequency, told.power.power, label=name)
        frequency = told.resolution.frequency / tuning.live.voxel_size_um
        panels[1].plot(frequency, told.resolution.correlation, label=name)
        period = "nothing" if told.period_um is None else f"{told.period_um:.0f} um"
        print(f"{name:18} noise {told.noise:.4f} {tuning.live.unit}, resolved: {period}")
    panels[1].plot(frequency, told.resolution.threshold, "k--", label="half bit")
    panels[0].set(xlabel="frequency (1/um)", ylabel="noise power ((1/cm)$^2$ um$^2$)")
    panels[1].set(xlabel="frequency (1/um)", ylabel="correlation of even and odd views")
    panels[0].legend(fontsize=7)
    panels[1].legend(fontsize=7)
    plt.show()


MASK = {"unsharp.method": "gaussian", "unsharp.sigma_px": 1.5}
cases = {
    "no retrieval": start.changed({"phase.method": "none"}),
    "375": start.changed({"phase.delta_beta": DELTA_BETA / 4}),
    "1500": start,
    "6000": start.changed({"phase.delta_beta": DELTA_BETA * 4}),
    "1500 and unsharp": start.changed({**MASK, "unsharp.strength": 3.0}),
}
show_noise(cases, row)

# %% [markdown]
# The left picture is why phase retrieval works: without it the noise grows with frequency (the
# ramp); the filter takes it away by orders of magnitude, most at high frequencies. The right
# picture shows the limit of this score: over a factor of 16 in the ratio *the correlation hardly
# changes*. Within a slice a linear filter multiplies signal and noise alike at every frequency:
# ratio and unsharp mask cancel, and Fourier correlation can choose neither. It measures what the
# scan holds, not how it is shown. (Without retrieval it is lower, because Paganin's filter works
# across detector rows as well: it takes away noise that is independent from row to row.)
#
# The noise of the flats is the same in all views: it becomes the faint rings around the axis, which
# both halves share. So the figure is a lower limit of the period.
#
# ## Distance and energy, in the slice
#
# The same organ at other distances and energies, with as many photons a pixel, each retrieved with
# the ratio of soft tissue at its energy. Noise is in 1/cm, the error in units of tissue's $\mu$,
# both brought to 90 keV. $\mu$ of soft matter falls slowly with energy here
# (Compton scattering), $\delta$ as $E^{-2}$.

# %%
tabulated = hipct.soft_tissue_delta_beta(ENERGY_KEV)
settings = ((2.0, 90.0), (8.0, 90.0), (32.0, 90.0), (8.0, 60.0), (8.0, 120.0))
print("  z (m)  E (keV)  delta/beta  lambda z/p^2  kernel (px)  noise   CNR  FRC (um)  error")
figure, panels = plt.subplots(1, len(settings), figsize=(10.5, 2.5), layout="constrained")
for panel, (distance, energy) in zip(panels, settings, strict=True):
    ratio = DELTA_BETA * hipct.soft_tissue_delta_beta(energy) / tabulated
    # mu = 4 pi delta / (lambda ratio), with delta as E^-2.
    fainter = (ENERGY_KEV / energy) * DELTA_BETA / ratio
    name = folder / "scan.zarr"
    if (distance, energy) != (DISTANCE_M, ENERGY_KEV):
        name = hipct.simulate_scan(
            folder / f"{distance:g}-{energy:g}.zarr",
            distance_m=distance,
            energy_kev=energy,
            organ=truth.organ.scaled(fainter).with_delta(delta_per_mu_cm(ratio, energy)),
            **SCAN,
        )
    with LiveScan(name, hipct.Config(phase={"delta_beta": ratio})) as other:
        tuned = Tuning(other)
        picture = tuned.slice(row) / fainter
        told, both = tuned.figures(row), halves(other, row)
        wrong = np.sqrt(np.mean((picture - wanted)[inside] ** 2)) / TISSUE
        number = propagation_number(pixel_size_um=PIXEL_UM, distance_m=distance, energy_kev=energy)
        print(
            f"{distance:7g} {energy:8g} {ratio:11.0f} {number:13.2f} {kernel_px(other):12.1f} "
            f"{both.noise / fainter:6.4f} {told.contrast_to_noise:5.1f} "
            f"{both.period_um or np.nan:9.0f} {wrong:6.3f}"
        )
    panel.imshow(picture, vmin=GREY[0], vmax=GREY[1])
    panel.set(title=f"{distance:g} m, {energy:g} keV", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Distance pays: from 2 to 32 m the noise falls to a tenth and the resolution goes from 8 pixels to
# the 2 that are the least. What ends it is $\lambda z/p^2$, the blur by the source ($z/z_1$ times
# its size at $z_1$ from the sample, not simulated here), and the hall.
#
# A lower energy pays too, as fringes in the linear regime go with $z\,\delta$: twice the energy
# asks for four times the distance. That is the gain at equal *detected* photons, which have to get
# there first: through 15 cm of 70 % ethanol come 7 % of the photons of 60 keV, 10 % of 90 keV and
# 12 % of 120 keV.
#
# ## Unsharp mask
#
# An unsharp mask, $(1 + c)\,I - c\,G_\sigma I$, brings back what the eye misses after retrieval.
# Paganin's filter and the mask are one linear filter. At high frequencies the mask divides the
# ratio by $1 + c$: in the noise power above 1500 with $c = 3$ meets 375. At low ones it takes no
# more than $c\,\sigma^2/2$ off $L^2$, so that areas keep their level. Noise comes back with the
# detail, and $\mu$ beside edges is no longer $\mu$.

# %%
sharp = sweep(start.changed(MASK), "unsharp.strength", [0.0, 1.0, 2.0, 4.0, 8.0], z=row)
middle = len(wanted) // 2
window = (slice(middle - len(wanted) // 4, middle + len(wanted) // 4),) * 2
show_slices(sharp, (0, 2, 4), GREY, wanted, window)
figure, panels = plt.subplots(1, 3, figsize=(10.5, 2.5), layout="constrained")
wrong = [np.sqrt(np.mean((picture - wanted)[inside] ** 2)) for picture in sharp.stack]
for panel, title, values in zip(
    panels,
    ("noise (1/cm)", "halo (of the step)", "rms error (1/cm)"),
    ([each.noise for each in sharp.figures], [each.halo for each in sharp.figures], wrong),
):
    panel.plot(sharp.values, np.array(values, float), "o-")
    panel.set(xlabel="strength c", title=title)
plt.show()

# %% [markdown]
# Each step of strength adds as much noise as the one before, and rim; the error against the truth
# is least without a mask. At strength 8 no edge stands out of the noise any more, so that no halo
# is told. A mask is for the eye, or for a later step that looks for edges, and belongs after the
# choice of $\delta/\beta$, not before.
#
# ## Sliders
#
# One plain function does the work; a slider calls it, and so can you.


# %%
def drawn(delta_beta, strength, height, tuning, grey):
    """A slice under two settings: its picture as PNG, and its figures."""
    changes = {"phase.delta_beta": float(delta_beta)}
    if strength:
        changes |= {**MASK, "unsharp.strength": float(strength)}
    tuned = tuning.changed(changes)
    picture = tuned.slice(height)
    told = tuned.figures_of(picture)
    figure = Figure(figsize=(4.5, 4.6), layout="constrained")
    panel = figure.subplots()
    panel.imshow(picture, vmin=grey[0], vmax=grey[1])
    rim = "-" if told.halo is None else f"{told.halo:+.2f}"
    panel.set(
        title=f"contrast/noise {told.contrast_to_noise:.1f}, halo {rim}, "
        f"kernel {kernel_px(tuned.live):.1f} pixels",
        xticks=[],
        yticks=[],
    )
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue(), told


png, told = drawn(DELTA_BETA, 1.0, row, start, GREY)
display(Image(png))
print(f"noise {told.noise:.4f} 1/cm, width of an edge {told.sharpness_px:.2f} pixels")

# %% [markdown]
# In Jupyter the next cell shows sliders; a stored page cannot answer.


# %%
def show_sliders(tuning, height, grey):
    """Sliders for ``drawn``, if ipywidgets are installed; returns them."""
    if find_spec("ipywidgets") is None:
        print("Without ipywidgets there are no sliders: pip install ipywidgets")
        return None
    import ipywidgets as widgets

    ratio = tuning.values["phase.delta_beta"]
    late = {"continuous_update": False}
    sliders = {
        "delta_beta": widgets.FloatLogSlider(value=ratio, min=1.5, max=4.5, step=0.05, **late),
        "strength": widgets.FloatSlider(value=0, min=0, max=8, step=0.5, **late),
        "height": widgets.IntSlider(value=height, min=0, max=tuning.live.shape[0] - 1, **late),
    }
    shown = widgets.Image(format="png")

    def draw(_change=None):
        values = {name: slider.value for name, slider in sliders.items()}
        shown.value, _ = drawn(**values, tuning=tuning, grey=grey)

    for name, slider in sliders.items():
        slider.description = name
        slider.observe(draw, names="value")
    draw()
    display(widgets.VBox([*sliders.values(), shown]))
    return sliders


sliders = show_sliders(start, row, GREY)

# %% [markdown]
# ## A scan of your own
#
# Give the path of a raw scan in any format that `hipct inspect` reads, and what its metadata lack,
# and the same functions look at it: slices by eye, edges, scores, noise power, resolution, sliders.
# Without a path this cell does nothing.

# %%
REAL_SCAN = None  # e.g. "../scan.h5"
REAL_SETTINGS = {}  # e.g. {"scan": {"energy_kev": 90, "distance_m": 3.5, "pixel_size_um": 20}}

if REAL_SCAN is None:
    print("No scan is given: set REAL_SCAN to a path.")
else:
    real = LiveScan(REAL_SCAN, hipct.Config(**REAL_SETTINGS))
    own, height = Tuning(real), real.shape[0] // 2
    real_sweep = sweep(own, "phase.delta_beta", z=height)
    few = (1, len(real_sweep.values) // 2, len(real_sweep.values) - 2)
    window = np.percentile(real_sweep.stack[few[1]], (0.5, 99.5))
    show_slices(real_sweep, few, window)
    show_edges(real_sweep, measured(real), real.voxel_size_um)
    found = show_scores(real_sweep)
    print("No rim stands out here." if found is None else f"by the halo {found:.0f}")
    none = own.changed({"phase.method": "none"})
    show_noise({"no retrieval": none, f"{own.values['phase.delta_beta']:.0f}": own}, height)
    show_sliders(own, height, window)
