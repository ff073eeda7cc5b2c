"""What a gradient does to the weights."""
