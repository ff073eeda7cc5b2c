"""Examples of the right shape with random content, for steps that are only measured."""
