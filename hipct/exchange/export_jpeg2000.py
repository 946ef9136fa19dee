"""Stacks of JPEG2000 and of its fast successor HTJ2K.

Neither encoder at hand takes a size: OpenJPEG (through imagecodecs, which frees the other threads
where Pillow holds them) takes a PSNR, OpenJPH a step of quantisation. Both are one number in
decibels here, that a few encodings adjust to the size. Near the size that is wanted, a bit a pixel
costs 6.02 dB (the rate of a uniform quantiser), which is the first guess of every step.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError, OutputError
from hipct.core.extras import require

SUFFIXES = {"jp2": ".jp2", "htj2k": ".j2c"}
_DB_PER_BIT = 6.02
_CLOSE = 0.03
_TRIES = 14
_RANGE_DB = {"jp2": (15.0, 130.0), "htj2k": (3.0, 115.0)}
_START_DB = {"jp2": 50.0, "htj2k": 45.0}
_SAMPLED = 32
"""Every how many slices one is decoded again, to say what the compression has changed."""


@dataclass
class Jpeg2000:
    """Encoder of the slices of one export.

    Parameters
    ----------
    kind : {"jp2", "htj2k"}
        Files are JP2 (``.jp2``), or HTJ2K code streams (``.j2c``).
    dtype : dtype
        uint8 or uint16.
    ratio : float or None
        Bytes of a slice over bytes of its file, met within 3 %; None without loss. A slice that is
        smaller than that without any loss is stored without loss.

    Raises
    ------
    InputError
        If the dtype or the ratio cannot be met.
    MissingExtra
        If imagecodecs is not installed, or lacks the encoder.
    """

    kind: str
    dtype: np.dtype[Any]
    ratio: float | None
    _codec: ModuleType = field(init=False, repr=False)
    _start: float = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)
    _raw: int = field(init=False, default=0)
    _coded: int = field(init=False, default=0)
    _errors: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"JPEG2000 stacks hold uint8 and uint16, not {self.dtype}; give --dtype uint8, or "
                "--format tiff."
            )
        if self.ratio is not None and not 1 < self.ratio <= 1000:
            raise InputError(
                f"The compression ratio is {self.ratio:g}; give one above 1 and up to 1000, or "
                "--lossless."
            )
        self._start = _START_DB[self.kind]
        self._codec = require("imagecodecs", "formats", f"hipct export --format {self.kind}")
        part = "JPEG2K" if self.kind == "jp2" else "HTJ2K"
        if not getattr(getattr(self._codec, part, None), "available", False):
            raise InputError(
                f"The installed imagecodecs {self._codec.__version__} has no encoder {part}; "
                "install a newer one, or choose another --format."
            )

    def prepare(self, plane: NDArray[Any]) -> None:
        """Find the quality for a slice; those near it start from there.

        A whole search takes three to five encodings, one that starts near its end one or two.
        """
        if self.ratio is not None:
            self._start = self._sized(np.ascontiguousarray(plane))[1]

    def encode(self, number: int, plane: NDArray[Any]) -> bytes:
        """Bytes of the file of a slice; may be called from several threads."""
        plane = np.ascontiguousarray(plane)
        data = self._lossless(plane) if self.ratio is None else self._sized(plane)[0]
        squares = None
        if number % _SAMPLED == 0:
            decoded = self._decode(data)
            if decoded.shape != plane.shape or decoded.dtype != plane.dtype:
                raise OutputError(f"Slice {number} does not decode to what was encoded.")
            squares = float(np.mean(np.square(decoded.astype(np.float32) - plane), dtype=float))
        with self._lock:
            self._raw += plane.nbytes
            self._coded += len(data)
            if squares is not None:
                self._errors[number] = squares
        return data

    def facts(self) -> dict[str, Any]:
        """Ratio of all slices so far, and the PSNR over the slices that were decoded again."""
        squares = float(np.mean([self._errors[number] for number in sorted(self._errors)]))
        peak = float(np.iinfo(self.dtype).max)
        return {
            "codec": {"jp2": "JPEG2000", "htj2k": "HTJ2K"}[self.kind],
            "lossless": self.ratio is None,
            "ratio": round(self._raw / max(1, self._coded), 3),
            # Of no error at all there is no PSNR.
            "psnr_db": round(10 * math.log10(peak**2 / squares), 2) if squares else None,
            "rms_error": round(math.sqrt(squares), 3),
        }

    def _lossless(self, plane: NDArray[Any]) -> bytes:
        if self.kind == "jp2":
            return bytes(self._codec.jpeg2k_encode(plane, codecformat="jp2", reversible=True))
        return bytes(self._codec.htj2k_encode(plane, reversible=True))

    def _lossy(self, plane: NDArray[Any], decibels: float) -> bytes:
        if self.kind == "jp2":
            return bytes(
                self._codec.jpeg2k_encode(
                    plane, level=decibels, codecformat="jp2", reversible=False
                )
            )
        return bytes(
            self._codec.htj2k_encode(plane, level=10 ** (-decibels / 20), reversible=False)
        )

    def _decode(self, data: bytes) -> NDArray[Any]:
        decode = self._codec.jpeg2k_decode if self.kind == "jp2" else self._codec.htj2k_decode
        decoded: NDArray[Any] = decode(data)
        return decoded

    def _sized(self, plane: NDArray[Any]) -> tuple[bytes, float]:
        assert self.ratio is not None
        target = plane.nbytes / self.ratio
        if plane.min() == plane.max():
            return self._lossless(plane), self._start
        return encode_to_size(
            lambda decibels: self._lossy(plane, decibels),
            target,
            plane.size,
            start=self._start,
            bounds=_RANGE_DB[self.kind],
            otherwise=lambda: self._lossless(plane),
        )


def encode_to_size(
    encode: Callable[[float], bytes],
    target: float,
    pixels: int,
    *,
    start: float,
    bounds: tuple[float, float],
    otherwise: Callable[[], bytes],
) -> tuple[bytes, float]:
    """Adjust a quality until the encoded size is right.

    Parameters
    ----------
    encode : callable
        Bytes for a quality in decibels; their number grows with it.
    target : float
        Bytes that are wanted, met within 3 %, or as near as the encoder comes.
    pixels : int
        Number of pixels.
    start : float
        Quality of the first try in decibels.
    bounds : (float, float)
        Lowest and highest quality.
    otherwise : callable
        What is taken if the highest quality is still smaller than the target.

    Returns
    -------
    data : bytes
    quality : float
        In decibels; where ``otherwise`` was taken, ``start``.
    """
    low, high = bounds
    # Sizes at the two ends of what is still possible, once they are known.
    below: tuple[float, int] | None = None
    above: tuple[float, int] | None = None
    best: tuple[bytes, float] | None = None
    decibels = start
    for _ in range(_TRIES):
        data = encode(decibels)
        if best is None or abs(len(data) - target) < abs(len(best[0]) - target):
            best = data, decibels
        if abs(len(data) / target - 1) <= _CLOSE:
            return data, decibels
        if len(data) < target:
            below = (decibels, len(data))
            if decibels >= high:
                return otherwise(), start
        else:
            above = (decibels, len(data))
            if decibels <= low:
                break
        decibels += _DB_PER_BIT * 8 * (target - len(data)) / pixels
        if below and above:
            inside = 0.05 * (above[0] - below[0])
            # On the line of log(size) between the two ends; the rule of 6 dB may lead out of them.
            part = math.log(target / below[1]) / math.log(above[1] / below[1])
            decibels = below[0] + part * (above[0] - below[0])
            decibels = min(max(decibels, below[0] + inside), above[0] - inside)
        decibels = min(max(decibels, low), high)
    assert best is not None
    return best
