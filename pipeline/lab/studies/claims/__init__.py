"""Claims about many runs, each decided by a program."""
