"""HiP-CT from raw projections to a browsable organ atlas."""

__version__ = "0.1.0"
