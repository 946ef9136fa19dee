"""Simulated scans with known truth, independent of the reconstruction that they test."""
