"""Data sets that are generated, of known rules and entropy."""
