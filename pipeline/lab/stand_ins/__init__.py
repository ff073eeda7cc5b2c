"""Examples of the right shape without content, for steps that are only measured."""
