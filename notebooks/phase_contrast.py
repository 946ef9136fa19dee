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
import itertools
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hipct
from hipct.core.physics import wavelength_m
from hipct.live.figures import kernel_px
from hipct.live.scan import LiveScan
from hipct.live.sweep import sweep
from hipct.live.tuning import Tuning
from hipct.phase.contrast import propagation_number
from hipct.phase.distances import ctf
from hipct.phase.nonlinear import NonlinearFilter
from hipct.quality.correlation import FourierCorrelation
from hipct.simulation import load_truth
from hipct.simulation.anatomy import build_organ
from hipct.volume.edges import mean_edge

plt.rcParams.update({"figure.dpi": 50, "image.cmap": "gray", "axes.titlesize": 9, "font.size": 8})
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# Everything below runs at the size of this cell. A detector of 2048 x 2048 pixels of 20 um with
# 6000 views is real size; it takes hours and some hundred gigabytes.

# %%
SIZE = {"columns": 224, "rows": 48, "angles": 360}
PIXEL_UM = 20.0
ENERGY_KEV = 90.0
DISTANCE_M = 8.0
DELTA_BETA = 1500.0
PHOTONS = 5000.0  # per pixel and view

# %% [markdown]
# ## Materials
#
# [xraylib](https://github.com/tschoonj/xraylib) has $\delta$ and $\beta$ from tabulated cross
# sections and scattering factors (Schoonjans et al., Spectrochim. Acta B 66 (2011) 776). Its
# $\beta$ is that of the *total* attenuation, $\lambda\mu/4\pi$ with Compton scattering, which is
# nearly all of $\mu$ of soft matter at these energies and what a detector far behind the sample
# measures. Mixtures add by mass. Composition and density of tissue, bone and paraffin are NIST's;
# 70 % ethanol is by volume (62.4 % by mass, 0.886 g/cm3); formalin is 4 % formaldehyde by mass in
# water (1.01 g/cm3).

# %%
MATERIALS = {
    "soft tissue (ICRP)": ({"Tissue, Soft (ICRP)": 1.0}, 1.00),
    "ethanol": ({"C2H5OH": 1.0}, 0.789),
    "ethanol, 70 %": ({"C2H5OH": 0.624, "H2O": 0.376}, 0.886),
    "formalin, 4 %": ({"CH2O": 0.04, "H2O": 0.96}, 1.01),
    "paraffin": ({"Paraffin Wax": 1.0}, 0.93),
    "cortical bone (ICRP)": ({"Bone, Cortical (ICRP)": 1.0}, 1.85),
}


def refraction(parts, density, energy_kev):
    """delta and beta of a mixture {name or formula: part by mass} of a density in g/cm3."""
    import xraylib

    delta = sum(
        part * (1 - xraylib.Refractive_Index_Re(name, energy_kev, density))
        for name, part in parts.items()
    )
    beta = sum(
        part * xraylib.Refractive_Index_Im(name, energy_kev, density)
        for name, part in parts.items()
    )
    return delta, beta


HAS_XRAYLIB = find_spec("xraylib") is not None
if HAS_XRAYLIB:
    print(f"{'at ' + str(ENERGY_KEV) + ' keV':22} {'delta':>9} {'beta':>9} {'mu (1/cm)':>9} ratio")
    for name, (parts, density) in MATERIALS.items():
        delta, beta = refraction(parts, density, ENERGY_KEV)
        mu = 4 * np.pi * beta / wavelength_m(ENERGY_KEV) / 100
        print(f"{name:22} {delta:9.2e} {beta:9.2e} {mu:9.3f} {delta / beta:5.0f}")
else:
    print("Without xraylib there is no look-up of materials: pip install xraylib")

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
# wiggler with a critical energy of 37 keV (6 GeV, 1.56 T; flux
# $\propto y\int_y^\infty K_{5/3}$ with $y = E/E_c$; Schwinger, Phys. Rev. 75 (1949) 1912), behind
# 30 mm of fused silica. Weights are the detected energy: photons times $E$ times what 2 mm of LuAG
# (Lu3Al5O12) absorbs.

# %%
if HAS_XRAYLIB:
    import xraylib
    from scipy.integrate import quad
    from scipy.special import kv

    energies = np.arange(20.0, 301.0, 4.0)
    flux = np.array([y * quad(lambda t: kv(5 / 3, t), y, np.inf)[0] for y in energies / 37.3])

    def left_over(formula, density, thickness_cm):
        """Transmission of a plate of a density in g/cm3."""
        mass = np.array([xraylib.CS_Total_CP(formula, energy) for energy in energies])
        return np.exp(-mass * density * thickness_cm)

    weight = flux / energies * left_over("SiO2", 2.2, 3.0)
    weight = weight * energies * (1 - left_over("Lu3Al5O12", 6.73, 0.2))
    weight /= weight.sum()
    mean_kev = (weight * energies).sum()

    table = {
        name: np.array([refraction(*material, energy) for energy in energies])
        for name, material in MATERIALS.items()
    }
    figure, panels = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
    panels[0].fill_between(energies, weight / weight.max(), color="0.8")
    panels[0].axvline(mean_kev, color="tab:orange", label=f"mean {mean_kev:.0f} keV")
    panels[0].set(xlabel="energy (keV)", ylabel="detected energy (relative)", title="spectrum")
    panels[0].legend()
    for name, values in table.items():
        panels[1].loglog(energies, values[:, 0], label=name)
        panels[2].plot(energies, values[:, 0] / values[:, 1], label=name)
    panels[1].set(xlabel="energy (keV)", ylabel=r"$\delta$", title=r"$\delta \propto E^{-2}$")
    panels[2].set(xlabel="energy (keV)", ylabel=r"$\delta/\beta$", title="ratio")
    panels[2].legend(fontsize=8)
    plt.show()
    print(f"{'over the spectrum':22} ratio  ratio at the mean energy   against 70 % ethanol")

    def over_the_spectrum(values):
        """Mean delta, and the beta that has the mean mu at the mean energy."""
        delta, beta = values.T
        return (weight * delta).sum(), (weight * beta * energies).sum() / mean_kev

    medium = over_the_spectrum(table["ethanol, 70 %"])
    for name, values in table.items():
        delta, beta = over_the_spectrum(values)
        one_energy = np.divide(*refraction(*MATERIALS[name], mean_kev))
        against = "-"
        if name != "ethanol, 70 %":
            against = f"{(delta - medium[0]) / (beta - medium[1]):.0f}"
        print(f"{name:22} {delta / beta:5.0f} {one_energy:24.0f} {against:>22}")
else:
    print("Without xraylib there is no look-up of materials: pip install xraylib")

# %% [markdown]
# A thin sample under a spectrum shows the means $\langle\mu\rangle$ and, in the transport of
# intensity, $\langle\delta\rangle$, so that the ratio to give together with the mean energy
# $\bar E$ is $4\pi\langle\delta\rangle / \lambda(\bar E)\langle\mu\rangle$. It lies above that
# of the mean energy, because $\delta \propto E^{-2}$ favours the soft end of the spectrum. (A thick
# sample hardens the beam.) Against the medium, tissue and formalin keep their ratio; paraffin,
# which differs from 70 % ethanol in composition more than in $\mu$, does not, and bone in tissue
# needs one of its own: `phase.second_delta_beta` is for that.
#
# ## Distance: how fringes grow
#
# To first order in $z$ the transport of intensity gives
#
# $$T(x) = e^{-\mu t} - \frac{\lambda z}{2\pi}\,\nabla\!\cdot\!\left(e^{-\mu t}\,\nabla\varphi
# \right),$$
#
# (Teague, J. Opt. Soc. Am. 73 (1983) 1434): fringes grow in proportion to $z$, until they have run
# out of the edge that they belong to. The simulation does not use this formula: it propagates the
# wave itself (Fresnel).

# %%
hipct.simulate_scan(
    folder / "scan.zarr",
    acquisition="full",
    **SIZE,
    pixel_size_um=PIXEL_UM,
    distance_m=DISTANCE_M,
    energy_kev=ENERGY_KEV,
    delta_beta=DELTA_BETA,
    noise=PHOTONS,
    drift=0.0,
    rings=0.0,
    seed=3,
)
truth = load_truth(folder / "scan.zarr")
setup = truth.setup


def one_view(organ, distance_m, *, energy_kev=ENERGY_KEV, ratio=DELTA_BETA, thicker=1.0, **changed):
    """A view of an organ without noise: transmission, and true mu t. Sizes as the scan's."""
    taken = replace(setup, distance_m=distance_m, energy_kev=energy_kev, **changed)
    imaging = taken.imaging
    fine = imaging.blank()
    organ.add_projection(fine, imaging.row_samples, imaging.column_samples(taken.axis_px), 0.0)
    fine *= np.float32(thicker)
    # The integral of delta for a mu t of 1 is delta / mu = (delta / beta) lambda / 4 pi.
    path_um = ratio * wavelength_m(energy_kev) / (4 * np.pi) * 1e6
    return imaging.image(fine, path_per_attenuation_um=path_um), imaging.on_pixels(fine)


row = SIZE["rows"] // 2
distances_m = (0.0, 2.0, 8.0, 32.0)
figure, panels = plt.subplots(1, 2, figsize=(11, 2.7), layout="constrained")
for distance in distances_m:
    image, _ = one_view(truth.organ, distance)
    panels[0].plot(image[row, :110], label=f"{distance:g} m", linewidth=1)
panels[0].set(xlabel="column", ylabel="T", title="the left part of one row, no noise")
panels[0].legend()

many_m = np.geomspace(0.25, 128, 10)
absorbed, _ = one_view(truth.organ, 0.0)
fringes = [np.std(one_view(truth.organ, distance)[0] - absorbed) for distance in many_m]
panels[1].loglog(many_m, fringes, "o-", label="Fresnel")
panels[1].loglog(many_m, fringes[0] * many_m / many_m[0], "--", color="0.5", label=r"$\propto z$")
panels[1].axhline(np.std(absorbed), color="tab:orange", label="absorption")
panels[1].axhline(PHOTONS**-0.5, color="tab:red", label="noise of a pixel")
panels[1].set(xlabel="distance (m)", ylabel="rms", title="contrast of fringes in T")
panels[1].legend()
plt.show()

# %% [markdown]
# Neither shows in a pixel of a single view, whose noise is larger. Absorption is spread over the
# whole organ; fringes, which match it at 8 m here, stand where absorption has next to nothing: at
# fine structures. They grow in proportion to $z$, and far out they begin to stay behind.
#
# ## Where the linear regime ends
#
# Three conditions are easily mixed up.
#
# - **Pixels.** The contrast transfer function of phase, $\sin(\pi\lambda z f^2)$ (Guigay, Optik 49
#   (1977) 121), is a straight line in $f^2$ only where its argument is small. At the highest
#   frequency of the detector, $f = 1/2p$, the argument is $\frac{\pi}{4}\,\lambda z/p^2$. Below
#   $\lambda z/p^2 \approx 1$ the line is off by less than 10 % everywhere; at 2 the function
#   reaches its maximum within the detector's frequencies, and beyond it turns over.
# - **Strength.** The transport equation holds further only while refraction moves light by less
#   than the structures that it meets: $\frac{\lambda z}{2\pi}|\nabla^2\varphi| \ll 1$.
# - **One material.** Paganin's filter needs one $\delta/\beta$ (Paganin et al., J. Microsc. 206
#   (2002) 33). No distance mends that.
#
# The error of three retrievals against the truth, without noise, of a weak and of a strong phase
# object. Small pixels (2 um) reach a large $\lambda z/p^2$.

# %%
beam = {"pixel_size_um": PIXEL_UM, "distance_m": DISTANCE_M, "energy_kev": ENERGY_KEV}
print(f"this scan: lambda z / p^2 = {propagation_number(**beam):.2f}")


def small_view(number, thicker, pixel_um=2.0):
    """Distance in m for a value of lambda z / p^2, transmission and true mu t of a small organ."""
    distance = number * (pixel_um * 1e-6) ** 2 / wavelength_m(ENERGY_KEV)
    side = SIZE["columns"] // 2
    whole = build_organ(0.3 * side * pixel_um, seed=3)
    size = {"rows": side, "columns": side, "axis_px": (side - 1) / 2, "pixel_size_um": pixel_um}
    return distance, *one_view(whole, distance, thicker=thicker, **size)


def retrieval_errors(number, thicker, pixel_um=2.0):
    """Relative rms error of mu t by three retrievals at a value of lambda z / p^2."""
    distance, image, wanted = small_view(number, thicker, pixel_um)
    known = {"pixel_size_um": pixel_um, "energy_kev": ENERGY_KEV, "delta_beta": DELTA_BETA}
    nonlinear = NonlinearFilter(*image.shape, distance_m=distance, **known)
    found = (
        hipct.paganin(image[None], distance_m=distance, **known),
        ctf(image[None, None], distances_m=[distance], **known),
        nonlinear.apply(image[None].copy()),
    )
    return [np.std(-np.log(each[0]) - wanted) / np.std(wanted) for each in found]


numbers = np.geomspace(0.1, 30, 5)
figure, panels = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
frequency = np.linspace(0, 0.5, 200)
for number in (0.3, 1, 2, 10):
    panels[0].plot(frequency, np.sin(np.pi * number * frequency**2), label=f"{number:g}")
panels[0].legend(title=r"$\lambda z/p^2$")
panels[0].set(
    xlabel="frequency (1/pixel)", ylabel=r"$\sin(\pi\lambda z f^2)$", title="CTF of phase"
)
for panel, thicker in zip(panels[1:], (0.2, 20.0), strict=True):
    radians = small_view(0.1, thicker)[2].max() * DELTA_BETA / 2
    errors = np.array([retrieval_errors(number, thicker) for number in numbers])
    for name, line in zip(("Paganin", "CTF, one material", "non-linear"), errors.T, strict=True):
        panel.loglog(numbers, line, "o-", label=name)
    panel.axvline(2, color="0.7", linestyle="--")
    panel.set(
        xlabel=r"$\lambda z/p^2$",
        ylabel="relative rms error",
        title=f"phase up to {radians:.2g} rad",
    )
panels[1].legend()
plt.show()

# %% [markdown]
# Weak objects (middle): Paganin's filter fails where the CTF leaves its straight line, and
# retrieval by the CTF goes on. Strong ones (right): none of the linear methods holds, whatever
# their transfer function, and the non-linear fit of the wave does better. The floor on the left is
# the detector: its blur and the size of its pixels.
#
# HiP-CT of whole organs (20 um, some metres, $\lambda z/p^2$ of 0.1 to 0.7) stays in the regime of
# Paganin's filter; zooms of a few um at 20 m do not.
#
# ## Phase retrieval: one parameter
#
# $$\mu t = -\ln \mathcal{F}^{-1}\!\left[\frac{\mathcal{F}[T]}
# {1 + \pi\lambda z\,(\delta/\beta)\,|f|^2}\right]$$
#
# Energy, distance and $\delta/\beta$ enter as one product: a wrong distance is a wrong ratio.
# `LiveScan` and `Tuning` make any slice of a raw scan under any settings, with the numbers of
# `hipct reconstruct`; the explorer of `hipct view --live` stands on them too.

# %%
live = LiveScan(folder / "scan.zarr", hipct.Config(phase={"delta_beta": DELTA_BETA}))
start = Tuning(live)
z = row
right = start.slice(z)
wanted = truth.volume(slice(z, z + 1), size=right.shape[-1])[0]
grid = np.arange(len(right)) - (len(right) - 1) / 2
inside = np.hypot(grid, grid[:, None]) < 0.9 * len(right) / 2
print(f"axis {live.axis_px:.2f}, true {setup.axis_px:.2f}")

ratios = [float(value) for value in np.round(DELTA_BETA * 2.0 ** np.arange(-4, 4.5), 0)]
swept = sweep(start, "phase.delta_beta", ratios, z=z)
figure, panels = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
grey = {"vmin": -0.05, "vmax": 0.10}
for panel, number in zip(panels, (1, 4, 7), strict=False):
    panel.imshow(swept.stack[number], **grey)
    panel.set(title=swept.labels[number], xticks=[], yticks=[])
panels[3].imshow(wanted, **grey)
panels[3].set(title=r"truth, $\mu$ from -0.05 to 0.10 1/cm", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# By eye: too small a ratio leaves bright and dark rims at edges and grain everywhere; too large a
# one blurs. Edge profiles say the same in numbers. `mean_edge` takes the median over the steepest
# edges of a slice, each scaled to a step from 0 to 1.

# %%
figure, panels = plt.subplots(1, 2, figsize=(11, 2.8), layout="constrained")
for number in (1, 3, 4, 5, 7):
    profile = mean_edge(
        np.where(inside, swept.stack[number], 0).astype(float),
        inside,
        reach_px=20,
        noise=swept.figures[number].noise,
    )
    if profile is not None:
        panels[0].plot(profile.place_px * PIXEL_UM, profile.value, label=f"{ratios[number]:.0f}")
panels[0].set(xlabel="distance from the edge (um)", ylabel="step", title="mean edge")
panels[0].legend(title=r"$\delta/\beta$")
middle = len(right) // 2
for number in (1, 4, 7):
    panels[1].plot(swept.stack[number][middle], linewidth=1, label=f"{ratios[number]:.0f}")
panels[1].plot(wanted[middle], "k", linewidth=1, label="truth")
panels[1].set(xlabel="x", ylabel=r"$\mu$ (1/cm)", title="across the slice", ylim=(-0.15, 0.2))
panels[1].legend()
plt.show()

# %% [markdown]
# ## Objective scores
#
# `hipct.volume.figures` defines noise, contrast, sharpness (full width of the mean edge at half
# maximum) and halo: the height of the rim, positive where fringes are left, negative where the
# edge is smeared. Which of them may choose $\delta/\beta$?

# %%
error = [np.sqrt(np.mean((picture - wanted)[inside] ** 2)) for picture in swept.stack]
halo = [each.halo for each in swept.figures]
drawn = (
    ("contrast to noise", [each.contrast_to_noise for each in swept.figures]),
    ("width of the edge (pixels)", [each.sharpness_px for each in swept.figures]),
    ("halo (of the step)", halo),
    ("rms error (1/cm), needs the truth", error),
)
figure, panels = plt.subplots(1, 4, figsize=(12, 2.5), layout="constrained")
for panel, (title, values) in zip(panels, drawn, strict=True):
    panel.semilogx(ratios, np.array(values, float), "o-")
    panel.axvline(DELTA_BETA, color="tab:orange", linestyle="--")
    panel.set(xlabel=r"$\delta/\beta$", title=title)
panels[2].axhline(0, color="0.7")
plt.show()


def zero_of(values):
    """The ratio at which a score passes through 0, on a logarithmic scale; None if it does not."""
    known = np.array([(ratio, value) for ratio, value in zip(ratios, values) if value is not None])
    for (low, above), (high, below) in itertools.pairwise(known):
        if above > 0 >= below:
            return float(low * (high / low) ** (above / (above - below)))
    return None


chosen = zero_of(halo)
print(
    f"no halo at {chosen or float('nan'):.0f}, least error at {ratios[int(np.argmin(error))]:.0f}"
)

# %% [markdown]
# Contrast to noise rises without end: a filter that smooths more always wins by it, and it would
# choose the largest ratio. The width of an edge has no clear minimum either. The halo passes
# through 0 near the true ratio and knows nothing of the truth: that is the score to choose by,
# together with the eye. It is right within some tens of per cent: a real rim, such as the bright
# membranes here, counts as a halo, and where structures are finer than the kernel there are few
# plain edges. Choose a region with edges of the material that matters; of several materials each
# has its own zero.
#
# ## Noise power and resolution
#
# Even and odd views are two scans of one thing with independent noise. Half their difference is
# the noise of their mean; its spectrum is the noise power (per axis: $p^2/N^2\,|\mathcal{F}|^2$,
# in (1/cm)$^2$ um$^2$). Their Fourier ring correlation says up to which frequency both agree (half
# bit: van Heel & Schatz, J. Struct. Biol. 151 (2005) 250).

# %%
with hipct.open_scan(folder / "scan.zarr") as scan:
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


def halves(ratio, mask=None):
    """The slice of even and of odd views; ratio None: no phase retrieval."""
    images = transmission
    if ratio is not None:
        images = hipct.paganin(images, **beam, delta_beta=ratio)
    if mask is not None:
        images = hipct.unsharp(images, **mask)
    lines = hipct.line_integral(images)[:, z]
    return [
        hipct.fbp(
            lines[part::2][None], info.angles_rad[part::2], live.axis_px, pixel_size_um=PIXEL_UM
        )[0]
        for part in (0, 1)
    ]


def noise_power(even, odd, side=64):
    """Radial noise power of the mean of two slices, and frequencies in 1/um."""
    low = len(even) // 2 - side // 2
    crop = (slice(low, low + side),) * 2
    noise = (even - odd)[crop] / 2
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.abs(np.fft.fft2((noise - noise.mean()) * window)) ** 2
    power *= PIXEL_UM**2 / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(side), np.fft.fftfreq(side)[:, None])
    ring = np.rint(radius * side).astype(int).ravel()
    count = np.bincount(ring)[: side // 2]
    return np.arange(side // 2) / side / PIXEL_UM, np.bincount(ring, power.ravel())[
        : side // 2
    ] / count


def correlation(even, odd, side=128):
    """Fourier ring correlation of the middle of two slices."""
    low = len(even) // 2 - side // 2
    crop = (slice(low, low + side),) * 2
    both = FourierCorrelation(side)
    both.add(even[crop], odd[crop])
    return both.resolution()


cases = {
    "no retrieval": (None, None),
    "375": (DELTA_BETA / 4, None),
    "1500": (DELTA_BETA, None),
    "6000": (DELTA_BETA * 4, None),
    "1500 and unsharp": (DELTA_BETA, {"sigma_px": 1.5, "strength": 3.0}),
}
figure, panels = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
for name, settings in cases.items():
    pair = halves(*settings)
    spatial, power = noise_power(*pair)
    panels[0].semilogy(spatial[1:], power[1:], label=name)
    told = correlation(*pair)
    panels[1].plot(told.frequency / PIXEL_UM, told.correlation, label=name)
    period = float("nan") if told.pixels is None else told.pixels * PIXEL_UM
    print(
        f"{name:17} noise {np.std((pair[0] - pair[1])[inside]) / 2:.4f} 1/cm, FRC {period:.0f} um"
    )
panels[1].plot(told.frequency / PIXEL_UM, told.threshold, "k--", label="half bit")
panels[0].set(xlabel="frequency (1/um)", ylabel="(1/cm)$^2$ um$^2$", title="noise power")
panels[1].set(xlabel="frequency (1/um)", title="Fourier ring correlation")
panels[0].legend()
panels[1].legend()
plt.show()

# %% [markdown]
# The left picture is why phase retrieval works: without it the noise grows with frequency (the
# ramp); the filter takes it away by orders of magnitude, most where there is least signal. The
# right picture shows the limit of this score: over a factor of 16 in the ratio *the correlation
# hardly changes*. Within a slice a linear filter multiplies signal and noise alike at every
# frequency: ratio and unsharp mask cancel, and Fourier correlation can choose neither. It measures
# what the scan holds, not how it is shown.
# (Without retrieval it is lower, because Paganin's filter works across detector rows as well: it
# takes away noise that is independent from row to row. The same filter along the rows alone changes
# nothing. And the noise of the flats, which both halves share as faint rings, keeps the curves
# above 0 up to the end: a figure of this kind is a lower limit of the period.)
#
# ## Energy
#
# $\mu$ of soft matter falls slowly with energy here (Compton scattering), $\delta$ as $E^{-2}$.
# Fringes in the linear regime go with $z\,\delta$: twice the energy asks for four times the
# distance.

# %%
figure, panels = plt.subplots(1, 3, figsize=(11, 2.7), layout="constrained")
kev = np.linspace(60, 120, 13)
ratio_of = np.array([hipct.soft_tissue_delta_beta(energy) for energy in kev])
kernel = [
    hipct.kernel_length_px(**{**beam, "energy_kev": energy}, delta_beta=ratio)
    for energy, ratio in zip(kev, ratio_of)
]
# mu = 4 pi delta / (lambda ratio), with delta as E^-2: relative to the energy of the scan.
own = hipct.soft_tissue_delta_beta(ENERGY_KEV)
mu_factor = (ENERGY_KEV / kev) * own / ratio_of
panels[0].plot(kev, ratio_of, label=r"soft tissue, $\delta/\beta$")
panels[0].set(xlabel="energy (keV)", ylabel=r"$\delta/\beta$", title="ratio of soft tissue")
panels[1].plot(kev, kernel)
panels[1].set(xlabel="energy (keV)", ylabel="pixels", title=f"kernel length at {DISTANCE_M:g} m")
for distance in (2.0, 8.0, 32.0):
    seen = []
    for energy, ratio, factor in zip(kev[::2], ratio_of[::2], mu_factor[::2]):
        setting = {"energy_kev": energy, "ratio": ratio, "thicker": factor}
        image, _ = one_view(truth.organ, distance, **setting)
        seen.append(np.std(image - one_view(truth.organ, 0.0, **setting)[0]) * PHOTONS**0.5)
    panels[2].semilogy(kev[::2], seen, "o-", label=f"{distance:g} m")
panels[2].axhline(1, color="0.7")
panels[2].set(xlabel="energy (keV)", title="rms of fringes, in units of the noise of a pixel")
panels[2].legend()
plt.show()

# %% [markdown]
# ## Unsharp mask
#
# An unsharp mask, $(1 + c)\,I - c\,G_\sigma I$, brings back what the eye misses after retrieval.
# Paganin's filter and the mask are one linear filter; a larger ratio with a mask and a smaller
# ratio without are nearly the same. Noise comes back with the detail, and $\mu$ beside edges is
# no longer $\mu$.

# %%
sharp = sweep(
    start.changed({"unsharp.method": "gaussian", "unsharp.sigma_px": 1.5}),
    "unsharp.strength",
    [0.0, 1.0, 2.0, 4.0, 8.0],
    z=z,
)
figure, panels = plt.subplots(1, 5, figsize=(13, 2.7), layout="constrained")
window = (slice(middle - 60, middle + 60), slice(20, 140))
for panel, number in zip(panels, (0, 2, 4), strict=False):
    panel.imshow(sharp.stack[number][window], **grey)
    panel.set(title=sharp.labels[number], xticks=[], yticks=[])
panels[3].plot(sharp.values, [each.noise for each in sharp.figures], "o-")
panels[3].set(xlabel="strength", title="noise (1/cm)")
panels[4].plot(sharp.values, [each.halo for each in sharp.figures], "o-")
panels[4].set(xlabel="strength", title="halo (of the step)")
plt.show()

# %% [markdown]
# ## Sliders
#
# One plain function does the work; a slider calls it, and so can you. In Jupyter the next cell
# shows sliders (on this page you see what they start with).


# %%
def look(delta_beta=DELTA_BETA, strength=0.0, tuning=start, height=z, shown=grey):
    """A slice under two settings, with its figures; returns the figures."""
    changes = {"phase.delta_beta": float(delta_beta)}
    if strength:
        changes |= {"unsharp.method": "gaussian", "unsharp.sigma_px": 1.5}
        changes |= {"unsharp.strength": float(strength)}
    tuned = tuning.changed(changes)
    picture = tuned.slice(height)
    figures = tuned.figures_of(picture)
    _, panel = plt.subplots(figsize=(4, 3.8), layout="constrained")
    panel.imshow(picture, **shown)
    rim = "-" if figures.halo is None else f"{figures.halo:+.2f}"
    panel.set(
        title=f"contrast/noise {figures.contrast_to_noise:.1f}, halo {rim}, "
        f"kernel {kernel_px(tuned.live):.1f} pixels",
        xticks=[],
        yticks=[],
    )
    plt.show()
    return figures


figures = look(delta_beta=1500, strength=1.0)

# %%
if find_spec("ipywidgets") is not None:
    from ipywidgets import FloatLogSlider, FloatSlider, interactive

    sliders = interactive(
        look,
        delta_beta=FloatLogSlider(value=1500, min=2, max=4, step=0.05, continuous_update=False),
        strength=FloatSlider(value=0, min=0, max=8, step=0.5, continuous_update=False),
        tuning=[("simulated", start)],
        height=(4, SIZE["rows"] - 5),
        shown=[("tissue", grey)],
    )
    # display(sliders) in a session of your own; a stored page cannot answer.
    print("sliders:", ", ".join(child.description for child in sliders.children[:-1]))
else:
    print("Without ipywidgets there are no sliders: pip install ipywidgets")

# %% [markdown]
# ## A scan of your own
#
# Give the path of a raw scan, or of a series, in any format that `hipct inspect` reads, and what
# its metadata lack. Without a path this cell does nothing.

# %%
REAL_SCAN = None  # e.g. "../scan.h5"
REAL_SETTINGS = {}  # e.g. {"scan": {"energy_kev": 90, "distance_m": 3.5, "pixel_size_um": 20}}

if REAL_SCAN is None:
    print("No scan is given: set REAL_SCAN to a path.")
else:
    with LiveScan(REAL_SCAN, hipct.Config(**REAL_SETTINGS)) as real:
        own = Tuning(real)
        real_sweep = sweep(own, "phase.delta_beta", z=real.shape[0] // 2)
        for label, each in zip(real_sweep.labels, real_sweep.figures, strict=True):
            print(label, each)
        low, high = np.percentile(real_sweep.stack, (0.5, 99.5))
        figure, panels = plt.subplots(1, len(real_sweep.values), figsize=(16, 2.5))
        for panel, picture, label in zip(panels, real_sweep.stack, real_sweep.labels, strict=True):
            panel.imshow(picture, vmin=low, vmax=high)
            panel.set(title=label, xticks=[], yticks=[])
        plt.show()

live.close()
