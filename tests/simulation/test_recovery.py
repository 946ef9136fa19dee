"""Phase retrieval judged on the simulation: recovered mu t against the truth, without noise.

For a weak object of one delta/beta, free space multiplies the spectrum of mu t by
``cos chi + (delta/beta) sin chi`` with ``chi = pi lambda z f^2`` (the contrast transfer function;
Guigay 1977), and Paganin's filter divides by ``1 + (delta/beta) chi``. What is left is the filter
``(cos chi + (delta/beta) sin chi) / (1 + (delta/beta) chi)``: close to 1 while chi is small at the
pixel's Nyquist frequency, where it is pi/4 times lambda z / p^2. That number therefore says how
well the retrieval can do, and the error beyond it is refraction too strong for the linear picture.
"""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.physics import wavelength_m
from hipct.phase import paganin
from hipct.simulation import Organ
from hipct.simulation.anatomy import build_jar, build_organ
from hipct.simulation.fresnel import Imaging

ENERGY, ROWS, COLUMNS, AXIS = 90.0, 96, 120, 59.3


class Case:
    """One view of an organ that lies whole in the field, seen and retrieved."""

    def __init__(self, pixel_um, distance_m, delta_beta, *, jar=False, oversampling=4):
        organ = build_organ((40 if jar else 50) * pixel_um, height_um=80 * pixel_um, seed=1)
        if jar:
            organ = organ.together_with(build_jar(56 * pixel_um))
        self.optics = Imaging(
            rows=ROWS, columns=COLUMNS, pixel_size_um=pixel_um, distance_m=distance_m,
            energy_kev=ENERGY, oversampling=oversampling, blur_px=0.5,
        )  # fmt: skip
        self.delta_beta = delta_beta
        self.fine = self._project(organ)
        path = delta_beta * wavelength_m(ENERGY) / (4 * np.pi) * 1e6
        self.seen = self.optics.image(self.fine, path_per_attenuation_um=path)
        self.truth = self.optics.on_pixels(self.fine)

    def _project(self, organ: Organ):
        fine = self.optics.blank()
        organ.add_projection(fine, self.optics.row_samples, self.optics.column_samples(AXIS), 0.7)
        return fine

    def recovered(self, delta_beta=None):
        transmission = paganin(
            self.seen[None],
            pixel_size_um=self.optics.pixel_size_um,
            distance_m=self.optics.distance_m,
            energy_kev=ENERGY,
            delta_beta=delta_beta or self.delta_beta,
        )
        return -np.log(transmission[0])

    def linear_theory(self):
        """The truth through the filter of the module's docstring."""
        rows, columns = self.fine.shape
        pitch = self.optics.pitch_um * 1e-6
        f2 = np.fft.fftfreq(rows, pitch)[:, None] ** 2 + np.fft.fftfreq(columns, pitch) ** 2
        chi = np.pi * wavelength_m(ENERGY) * self.optics.distance_m * f2
        left = np.cos(chi) + self.delta_beta * np.sin(chi)
        left /= 1 + self.delta_beta * chi
        image = np.fft.ifft2(np.fft.fft2(self.fine.astype(float)) * left).real
        return self.optics.on_pixels(image.astype(np.float32))

    def error(self, image, against=None):
        difference = image - (self.truth if against is None else against)
        return float(np.sqrt(np.mean(difference**2)) / self.truth.max())


# lambda z / p^2 of the atlas: median 2.4, 90 % below 5.9, largest 47.
REGIMES = [
    # pixel um, distance m, delta/beta, lambda z / p^2, largest rms relative to the largest mu t
    (20.0, 0.5, 1500.0, 0.017, 3e-4),
    (20.0, 3.5, 300.0, 0.12, 3e-4),
    (20.0, 3.5, 1500.0, 0.12, 5e-4),
    (20.0, 20.0, 300.0, 0.69, 5e-4),
    (20.0, 20.0, 1500.0, 0.69, 2.5e-3),
    (5.0, 4.0, 1500.0, 2.2, 2.5e-3),
    (5.0, 10.0, 1500.0, 5.5, 6e-3),
    (2.2, 2.0, 300.0, 5.7, 3e-3),
]


@pytest.mark.parametrize(("pixel", "distance", "delta_beta", "number", "limit"), REGIMES)
def test_retrieval_recovers_the_attenuation(pixel, distance, delta_beta, number, limit):
    case = Case(pixel, distance, delta_beta)
    assert case.optics.propagation_number == pytest.approx(number, rel=0.05)
    recovered = case.recovered()
    assert case.error(recovered) < limit
    # Nothing is gained or lost: the scale of mu t stands.
    assert recovered.sum() == pytest.approx(case.truth.sum(), rel=2e-3)
    # The phase was worth retrieving, and with the right delta/beta.
    assert case.error(-np.log(case.seen)) > 4 * case.error(recovered)
    assert case.error(case.recovered(2 * delta_beta)) > 2 * case.error(recovered)
    assert case.error(case.recovered(delta_beta / 2)) > 2 * case.error(recovered)


@pytest.mark.parametrize(("pixel", "distance"), [(2.2, 2.0), (0.65, 0.5)])
def test_the_error_that_is_left_is_the_one_that_theory_predicts(pixel, distance):
    """Weak phase, strong propagation (lambda z / p^2 of 5.7 and 16)."""
    case = Case(pixel, distance, 300.0)
    wanted = case.linear_theory()
    assert case.error(wanted) > 1.5e-3
    assert case.error(case.recovered(), wanted) < 0.2 * case.error(wanted)


def test_strong_propagation_leaves_the_linear_regime():
    """At lambda z / p^2 of 47, the atlas's largest, a single Paganin filter no longer will do."""
    near, far = Case(2.2, 2.0, 1500.0), Case(2.2, 16.0, 1500.0)
    assert near.error(near.recovered()) < 4e-3
    assert 2e-2 < far.error(far.recovered()) < 0.2


def test_a_jar_of_thirty_radians_is_recovered_too():
    """The jar's faces refract more than any tissue and are as well in the linear regime."""
    case = Case(20.0, 3.5, 1500.0, jar=True, oversampling=6)
    assert case.truth.max() * case.delta_beta / 2 > 25
    inside = slice(8, -8)  # an endless jar leaves the field through the top and the bottom
    difference = (case.recovered() - case.truth)[inside]
    assert np.sqrt(np.mean(difference**2)) < 3e-3 * case.truth.max()
    assert case.error(-np.log(case.seen)) > 5e-3
