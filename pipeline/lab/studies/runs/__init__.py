"""The runs of a grid: which to train, in how many processes, where each record is cached."""
