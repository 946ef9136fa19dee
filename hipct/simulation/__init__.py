"""Simulated scans with known truth, independent of the reconstruction that they test."""

from hipct.simulation.helix import simulate_helix
from hipct.simulation.organ import Organ
from hipct.simulation.scan import simulate_scan
from hipct.simulation.series import simulate_series, simulate_whole
from hipct.simulation.series_truth import SeriesTruth, load_series_truth
from hipct.simulation.truth import Truth, load_truth

__all__ = [
    "Organ",
    "SeriesTruth",
    "Truth",
    "load_series_truth",
    "load_truth",
    "simulate_helix",
    "simulate_scan",
    "simulate_series",
    "simulate_whole",
]
