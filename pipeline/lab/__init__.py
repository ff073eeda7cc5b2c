"""What do many runs say together? Asked by hand, as `rally <verb>`."""
