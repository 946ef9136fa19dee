"""A run on many machines: jobs, their state, and what to do when some of them fail."""
