"""`rally share`: experiments and their data on a remote, and whether what was sent is really there."""
