"""A small training of this process, for studies and for the benchmark of the doctor."""
