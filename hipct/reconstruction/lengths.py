"""Lengths of transforms: of small prime factors, for every library and without any."""

from __future__ import annotations


def fast_length(at_least: int) -> int:
    """Smallest whole number from ``at_least`` up that has no prime factors but 2, 3 and 5.

    These are fast for pocketfft as for cuFFT, so that a plan has the same lengths everywhere; they
    are what ``scipy.fft.next_fast_len(at_least, real=True)`` gives.

    Examples
    --------
    >>> fast_length(1021), fast_length(1)
    (1024, 1)
    """
    best = 1 << max(at_least - 1, 0).bit_length()
    five = 1
    while five < best:
        odd = five
        while odd < best:
            # The smallest power of 2 that makes up the rest.
            rest = -(-at_least // odd)
            best = min(best, odd << (rest - 1).bit_length())
            odd *= 3
        five *= 5
    return best
