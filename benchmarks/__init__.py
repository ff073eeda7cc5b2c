"""What it costs: each module is a command that measures side by side, in one run, and prints its table."""
