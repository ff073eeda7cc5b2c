"""Is the run what its knobs say? Each part of a training step, compared with a second, plain implementation."""
