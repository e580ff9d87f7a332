"""Event stores that others made, measured beside Lethe in one run."""
