"""Simulated scans with known truth, independent of the reconstruction that they test."""

from hipct.simulation.organ import Organ
from hipct.simulation.scan import simulate_scan
from hipct.simulation.truth import Truth, load_truth

__all__ = ["Organ", "Truth", "load_truth", "simulate_scan"]
