"""Many trainings from one file: sweeps, evaluations, several subjects together."""
