"""Forward and backward passes that the probes share."""
