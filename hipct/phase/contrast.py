"""Phase retrieval by the contrast transfer function (CTF), for one distance or several.

Behind an object of the wave exp(-B + i phi), B = mu t / 2, an image at the distance z shows

    I^ = 1^ - 2 B^ cos x + 2 phi^ sin x,    x = pi lambda z |f|^2

where |phi(r) - phi(r + lambda z f)| << 1 (Guigay, Optik 49 (1977) 121; Cloetens et al., Appl. Phys.
Lett. 75 (1999) 2912; phi < 0 where delta > 0). With g = delta/beta, both maps are told as line
integrals of mu: a = 2 B, and b = -2 phi / g, which is a where the sample is one material. Then

    1^ - I^ = a^ c + b^ s,    c = cos x,    s = g sin x.

What is found of b comes out as the transmission 1 - b, a linear filter of the transmissions: its
logarithm is b to first order, and at low frequencies, where the filter is Paganin's, it holds for
strong absorption as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.phase.kernel import require_positive
from hipct.phase.unsharp import UnsharpMask

ContrastMethod = Literal["ctf", "ctf_homogeneous"]

REGULARISATION = 0.03
"""Default of the methods: zeros of the CTF are filled to this share of its largest square."""

Real = NDArray[np.float64]

MOST_REACH_PX = 1 << 14
"""No detector has more; a filter that reaches further takes whole frames as its halo."""

_FEWEST_SAMPLES = 1 << 10


def propagation_number(*, pixel_size_um: float, distance_m: float, energy_kev: float) -> float:
    """Number lambda z / p^2: half of it is the way in pixels of the detector's finest structure.

    Below about 1 no frequency of the detector comes near the first maximum of the CTF, and the
    transport of intensity, which Paganin's filter inverts, is all there is to a weak object.

    Raises
    ------
    InputError
        If a value is not a finite number above 0.

    Examples
    --------
    >>> round(propagation_number(pixel_size_um=20, distance_m=3.5, energy_kev=90), 3)
    0.121
    """
    require_positive("pixel_size_um", pixel_size_um)
    require_positive("distance_m", distance_m)
    require_positive("energy_kev", energy_kev)
    return wavelength_m(energy_kev) * distance_m / (pixel_size_um * 1e-6) ** 2


@dataclass(frozen=True)
class Contrast:
    """Filters of the images of some distances whose sum is the retrieved transmission.

    Attributes
    ----------
    numbers : tuple of float
        lambda z / p^2 of each distance (:func:`propagation_number`).
    delta_beta : float
        g.
    method : {"ctf", "ctf_homogeneous"}
        One material throughout, a = b, or a free of b (see :meth:`filters`).
    regularisation : float
        As in :meth:`filters`; in (0, 1).

    Raises
    ------
    InputError
        If a value is out of range, or a distance is given twice.
    """

    numbers: tuple[float, ...]
    delta_beta: float
    method: ContrastMethod = "ctf_homogeneous"
    regularisation: float = REGULARISATION

    def __post_init__(self) -> None:
        if self.method not in get_args(ContrastMethod):
            raise InputError(
                f"method is {self.method!r}; the contrast transfer function is inverted by "
                f"{' or '.join(get_args(ContrastMethod))}."
            )
        if not self.numbers or len(set(self.numbers)) < len(self.numbers):
            raise InputError(
                f"The distances give lambda z / p^2 of {list(self.numbers)}; give at least one "
                "distance, and none twice."
            )
        for number in self.numbers:
            require_positive("lambda z / p^2", number)
            if number > MOST_REACH_PX:
                raise InputError(
                    f"lambda z / p^2 is {number:.3g}: light would spread over more pixels than "
                    "any detector has; check the units of pixel size, distance and energy."
                )
        require_positive("delta_beta", self.delta_beta)
        if not 0 < self.regularisation < 1:
            raise InputError(
                f"regularisation is {self.regularisation}; it has to lie between 0 and 1, e.g. "
                f"{REGULARISATION}."
            )

    def filters(self, square: Real) -> list[Real]:
        """Factor of each distance at frequencies of some squares ``|f|^2`` (cycles^2 / pixel^2).

        Returns
        -------
        list of ndarray of float64
            Their sum is 1 at the frequency 0.

        Notes
        -----
        With w = c + s and the regularisation r, the one material is the least-squares solution
        over the distances (Yu et al., Opt. Express 26 (2018) 11110, eq. 8, for one; Zabler et al.,
        Rev. Sci. Instrum. 76 (2005) 073705, for several),

            h^ = sum w D / (sum w^2 + r (1 + g^2) R),    D = 1^ - I^,

        with R = 0 up to the first maximum of the CTF of the longest distance, at x = arctan g, and
        1 from half way to its first zero on, so that nothing is lost where the CTF carries the
        signal. Its largest square is 1 + g^2.

        Free of the absorption, b^ is the least-squares solution of both unknowns; with one
        distance a = 0. Where the distances do not tell b (at low frequencies, where s = 0), it is
        drawn to the one material (Langer et al., IEEE Trans. Image Process. 19 (2010) 2428),

            b^ = (sum u D + k h^) / (sum u s + k),    k = n r g^2,    n distances,
            u = s - c (sum c s) / (sum c^2),  or u = s of one distance.
        """
        ratio, share = self.delta_beta, self.regularisation
        angles = [math.pi * number * square for number in self.numbers]
        cosines = [np.cos(angle) for angle in angles]
        sines = [ratio * np.sin(angle) for angle in angles]
        both = [c + s for c, s in zip(cosines, sines)]
        # c + s = sqrt(1 + g^2) cos(x - arctan g): the maximum, and a quarter of pi to half way.
        past = max(angles, key=np.max) - math.atan(ratio)
        beyond = np.sin(np.clip(2 * past, 0, np.pi / 2)) ** 2
        squares = sum((w * w for w in both), np.zeros_like(square))
        one = [w / (squares + share * (1 + ratio**2) * beyond) for w in both]
        if self.method == "ctf_homogeneous":
            return one
        free = list(sines)
        if len(self.numbers) > 1:
            mixed = sum((c * s for c, s in zip(cosines, sines)), np.zeros_like(square))
            even = sum((c * c for c in cosines), np.zeros_like(square))
            # All cosines may be 0 at one frequency: the images then hold nothing of a.
            slope = np.divide(mixed, even, out=np.zeros_like(square), where=even > 1e-12)
            free = [s - c * slope for c, s in zip(cosines, sines)]
        told = sum((u * s for u, s in zip(free, sines)), np.zeros_like(square))
        drawn = len(free) * share * ratio**2
        return [(u + drawn * h) / (told + drawn) for u, h in zip(free, one)]

    def reach(self, accuracy: float, most_px: int = MOST_REACH_PX) -> int:
        """Pixels after which the step responses of all filters stay below ``accuracy``.

        ``most_px`` where they do not before.

        Raises
        ------
        InputError
            If the accuracy is out of range.
        """
        return max(
            response_reach(lambda f, k=number: self.filters(f * f)[k], accuracy, most_px)  # type: ignore[misc]
            for number in range(len(self.numbers))
        )


@dataclass(frozen=True)
class ContrastResponse:
    """One of the filters of a :class:`Contrast`, times an unsharp mask.

    Attributes
    ----------
    contrast : Contrast
    number : int
        Of the distance.
    mask : UnsharpMask or None
    """

    contrast: Contrast
    number: int = 0
    mask: UnsharpMask | None = None

    def table(self, rows: int, columns: int) -> Real:
        """Factors at all frequencies of a DCT-II, (rows, columns)."""
        down, across = (np.arange(size) / (2 * size) for size in (rows, columns))
        table = self.contrast.filters(down[:, None] ** 2 + across**2)[self.number]
        if self.mask:
            (p, q), (r, s) = self.mask.factors(down), self.mask.factors(across)
            table *= self.mask.level - np.outer(p, s) - np.outer(q, r)
        return table


def response_reach(
    response: Callable[[Real], Real], accuracy: float, most_px: int = MOST_REACH_PX
) -> int:
    """Pixels after which the step response of an even filter stays below ``accuracy``.

    Parameters
    ----------
    response : callable
        Factors at some frequencies in cycles per pixel, from 0 to 1/2.
    accuracy : float
        Relative to the step.
    most_px : int
        Given where the response reaches so far or further.

    Raises
    ------
    InputError
        If the accuracy is out of range.
    """
    if not 0 < accuracy < 0.5:
        raise InputError(f"accuracy is {accuracy}; it has to lie between 0 and 0.5, e.g. 1e-5.")
    samples = _FEWEST_SAMPLES
    while True:
        kernel = np.fft.irfft(response(np.arange(samples // 2 + 1) / samples), samples)
        # What lies farther than h pixels on one side: sum of the kernel from h + 1 to the far end.
        beyond = np.cumsum(kernel[1 : samples // 2][::-1])[::-1]
        too_large = np.flatnonzero(np.abs(beyond) > accuracy)
        found = int(too_large[-1]) + 1 if too_large.size else 0
        # Nearer to the middle the kernel's own periodic images are felt.
        if found < samples // 8:
            return min(found, most_px)
        if samples // 8 >= most_px:
            return most_px
        samples *= 2


def contrast_numbers(
    distances_m: Sequence[float], *, pixel_size_um: float, energy_kev: float
) -> tuple[float, ...]:
    """Numbers lambda z / p^2 of some distances (:func:`propagation_number`)."""
    return tuple(
        propagation_number(pixel_size_um=pixel_size_um, distance_m=z, energy_kev=energy_kev)
        for z in distances_m
    )
