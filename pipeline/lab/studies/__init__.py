"""`rally play`: studies, grids of many small runs, their claims and verdicts."""
