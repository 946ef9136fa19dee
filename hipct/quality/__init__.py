"""How good a run is: figures, lights, the report of a run."""
