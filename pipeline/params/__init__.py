"""Every knob of Rally: its type, its limits, how it is read, and how a wrong one is refused."""
