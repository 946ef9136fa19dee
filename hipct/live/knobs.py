"""The settings that a person turns while looking at a slice: ranges, scales, units, landmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hipct.core.errors import ConfigError, InputError
from hipct.live.scan import LiveScan
from hipct.phase.convert import soft_tissue_delta_beta
from hipct.pipeline.config import Config
from hipct.pipeline.settings import choices, extra

Value = float | int | str

SIGNIFICANT = 4
"""Digits of a value on a logarithmic scale: what is shown is what is used."""

AXIS_RANGE_PX = 10.0
"""A rotation axis is tuned this far on either side of where it was found."""


@dataclass(frozen=True)
class Knob:
    """One setting of the configuration, as a slider or a choice has it.

    Attributes
    ----------
    key : str
        ``"section.name"`` in the configuration.
    title, unit, words : str
        Its name in the field's own term, its unit (empty without one), and what it does.
    value : float, int, str or None
        Where it starts: as configured, else as the scan says, else as a run would find it; None
        where none of them knows.
    scale : {"linear", "logarithmic", "choice"}
        How places on a slider become values.
    low, high, step : float
        Of a number. Values are multiples of ``step``, counted from ``low``; on a logarithmic scale
        they have four significant digits instead.
    options : tuple of str
        Of a choice: those that need no other setting than the configuration has.
    used_with : mapping of str to tuple of str
        Other settings and the choices of them under which this one has an effect.
    """

    key: str
    title: str
    value: Value | None
    scale: Literal["linear", "logarithmic", "choice"]
    unit: str = ""
    words: str = ""
    low: float = 0.0
    high: float = 1.0
    step: float = 0.0
    options: tuple[str, ...] = ()
    used_with: Mapping[str, tuple[str, ...]] | None = None

    def place(self, value: float) -> float:
        """Where a value lies on the slider, from 0 to 1.

        Examples
        --------
        >>> knob = Knob("phase.delta_beta", "delta/beta", 100.0, "logarithmic", low=10, high=1e4)
        >>> round(knob.place(1000), 3), knob.at(2 / 3)
        (0.667, 1000.0)
        """
        low, high, value = self._scaled(self.low), self._scaled(self.high), self._scaled(value)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def at(self, place: float) -> float:
        """The value at a place of the slider, from 0 to 1."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        within = low + min(max(place, 0.0), 1.0) * (high - low)
        return self.rounded(math.exp(within) if self.scale == "logarithmic" else within)

    def rounded(self, value: float) -> float:
        """The nearest value that the knob can have."""
        value = min(max(float(value), self.low), self.high)
        if self.scale == "logarithmic":
            return float(f"{value:.{SIGNIFICANT}g}")
        steps = round((value - self.low) / self.step)
        # Without the last digits that a multiple of 0.05 brings along.
        return float(f"{self.low + steps * self.step:.10g}")

    def text(self, value: Value) -> str:
        """A value with its unit.

        Examples
        --------
        >>> Knob("scan.energy_kev", "energy", 90.0, "logarithmic", unit="keV").text(90.0)
        '90 keV'
        """
        number = value if isinstance(value, str) else f"{value:.6g}"
        return f"{number} {self.unit}".strip()

    def spread(
        self, count: int, low: float | None = None, high: float | None = None
    ) -> list[float]:
        """Values from ``low`` to ``high``, evenly on the knob's own scale.

        Raises
        ------
        InputError
            If it is a choice, or less than two different values lie there.
        """
        if self.scale == "choice":
            raise InputError(f"{self.key} is a choice; its values are {', '.join(self.options)}.")
        first = self.low if low is None else low
        last = self.high if high is None else high
        ends = self.place(first), self.place(last)
        values = [self.at(float(place)) for place in np.linspace(*ends, max(count, 2))]
        different = list(dict.fromkeys(values))
        if len(different) < 2:
            raise InputError(
                f"From {self.text(first)} to {self.text(last)} there are no two values of "
                f"{self.key}; it has {self.text(self.low)} to {self.text(self.high)}."
            )
        return different

    def used(self, values: Mapping[str, Value | None]) -> bool:
        """Whether it has an effect under the values of other settings."""
        return all(values.get(key) in allowed for key, allowed in (self.used_with or {}).items())

    def _scaled(self, value: float) -> float:
        if self.scale != "logarithmic":
            return float(value)
        return math.log(min(max(float(value), self.low), self.high))


def knobs(live: LiveScan) -> tuple[Knob, ...]:
    """The settings of a scan that a person tunes by eye, in the order of the data.

    Takes as long as it takes to find the rotation axis, where it is not known yet. The axes of a
    series follow from one another and have no knob.
    """
    settled, config = live.settle(), live.config
    info = settled.organ.job.info
    delta_beta = settled.organ.job.delta_beta or config.phase.delta_beta
    found = [
        _choice(config, "phase.method", "phase retrieval"),
        _logarithmic(
            config,
            "phase.delta_beta",
            "delta/beta",
            delta_beta or tissue_delta_beta(info.energy_kev),
            (10.0, 1e4),
            used_with={"phase.method": _all_but_none(config, "phase.method")},
        ),
        _around(config, "scan.distance_m", "distance", info.distance_m, factor=5, usual=(0.1, 50)),
        _around(config, "scan.energy_kev", "energy", info.energy_kev, factor=2.5, usual=(20, 250)),
        *_method_knobs(config),
        _choice(config, "unsharp.method", "unsharp mask"),
        _logarithmic(
            config,
            "unsharp.sigma_px",
            "unsharp width",
            config.unsharp.sigma_px,
            (0.3, 10.0),
            used_with={"unsharp.method": _all_but_none(config, "unsharp.method")},
        ),
        _linear(
            config,
            "unsharp.strength",
            "unsharp strength",
            config.unsharp.strength,
            (0.0, 10.0, 0.1),
            used_with={"unsharp.method": _all_but_none(config, "unsharp.method")},
        ),
        _choice(config, "reconstruction.filter", "filter"),
    ]
    if not settled.subject.of_series:
        axis = live.axis_px
        span = (axis - AXIS_RANGE_PX, axis + AXIS_RANGE_PX, 0.05)
        found.append(_linear(config, "axis.value", "rotation axis", axis, span))
    return (*found, *_ring_knobs(config))


def tissue_delta_beta(energy_kev: Value | None) -> float | None:
    """delta/beta of soft tissue, where the energy is known and the table has it (60 to 120 keV)."""
    if energy_kev is None:
        return None
    with suppress(InputError):
        return soft_tissue_delta_beta(float(energy_kev))
    return None


def _method_knobs(config: Config) -> list[Knob]:
    """What single methods of phase retrieval take beside the physics."""
    phase = config.phase
    contrast = {"phase.method": ("ctf", "ctf_homogeneous", "nonlinear")}
    nonlinear = {"phase.method": ("nonlinear",)}
    found = [
        _logarithmic(
            config,
            "phase.regularisation",
            "regularisation",
            phase.regularisation,
            (1e-4, 0.3),
            used_with=contrast,
        ),
        _linear(
            config,
            "phase.iterations",
            "iterations",
            phase.iterations,
            (1, 10, 1),
            used_with=nonlinear,
        ),
    ]
    if phase.second_delta_beta is not None:
        second = phase.second_delta_beta
        found.append(
            _logarithmic(config, "phase.second_delta_beta", "second delta/beta", second, (1.0, 1e4))
        )
    return found


def _ring_knobs(config: Config) -> list[Knob]:
    rings = config.rings
    sorting = {"rings.method": ("sorting", "all")}
    large = {"rings.method": ("large", "all")}
    stands_out = {"rings.method": ("dead", "large", "all")}
    wavelet = {"rings.method": ("wavelet",)}
    regularised = {"rings.method": ("regularised",)}
    return [
        _choice(config, "rings.method", "rings"),
        _linear(
            config, "rings.size_px", "ring width", rings.size_px, (3, 151, 2), used_with=sorting
        ),
        _linear(
            config, "rings.levels", "wavelet levels", rings.levels, (1, 9, 1), used_with=wavelet
        ),
        _logarithmic(
            config, "rings.sigma", "wavelet damping", rings.sigma, (0.1, 20), used_with=wavelet
        ),
        _linear(
            config, "rings.large_px", "large rings", rings.large_px, (3, 301, 2), used_with=large
        ),
        _linear(
            config, "rings.snr", "ring threshold", rings.snr, (1.1, 10, 0.1), used_with=stands_out
        ),
        _logarithmic(
            config, "rings.alpha", "ring stiffness", rings.alpha, (1e-3, 100), used_with=regularised
        ),
    ]


def _field(config: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return type(getattr(config, section)).model_fields[name]


def _value(config: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def _all_but_none(config: Config, key: str) -> tuple[str, ...]:
    return tuple(str(option) for option in choices(_field(config, key)) if option != "none")


def _choice(config: Config, key: str, title: str) -> Knob:
    field = _field(config, key)
    options = tuple(str(option) for option in choices(field) if _is_whole(config, key, option))
    return Knob(key, title, _value(config, key), "choice", words=field.description, options=options)


def _is_whole(config: Config, key: str, option: str) -> bool:
    """Whether a choice needs no setting beside it that is not given."""
    section, _, name = key.partition(".")
    values = config.model_dump()
    values[section][name] = option
    with suppress(ConfigError):
        Config(**values)
        return True
    return False


def _linear(
    config: Config,
    key: str,
    title: str,
    value: float,
    span: tuple[float, float, float],
    **more: Any,
) -> Knob:
    low, high, step = span
    # A value beyond the usual range is still one that the slider has to reach.
    low -= step * max(0, math.ceil((low - value) / step))
    high += step * max(0, math.ceil((value - high) / step))
    return Knob(
        key, title, value, "linear", low=low, high=high, step=step, **_told(config, key), **more
    )


def _logarithmic(
    config: Config,
    key: str,
    title: str,
    value: float | None,
    span: tuple[float, float],
    **more: Any,
) -> Knob:
    low, high = span if value is None else (min(span[0], value), max(span[1], value))
    return Knob(key, title, value, "logarithmic", low=low, high=high, **_told(config, key), **more)


def _around(
    config: Config,
    key: str,
    title: str,
    value: float | None,
    *,
    factor: float,
    usual: tuple[float, float],
) -> Knob:
    """A quantity that the scan knows, with what it could be if the scan is wrong."""
    span = usual if not value else (value / factor, value * factor)
    return _logarithmic(
        config,
        key,
        title,
        value or None,
        span,
        used_with={"phase.method": _all_but_none(config, "phase.method")},
    )


def _told(config: Config, key: str) -> dict[str, Any]:
    field = _field(config, key)
    return {"unit": extra(field, "unit"), "words": field.description}


def knob_of(known: tuple[Knob, ...], key: str) -> Knob:
    """The knob of a setting.

    Raises
    ------
    InputError
        If there is none.
    """
    for knob in known:
        if knob.key == key:
            return knob
    raise InputError(
        f"{key[:80]!r} is nothing that is tuned; there are {', '.join(knob.key for knob in known)}."
    )
