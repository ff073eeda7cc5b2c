"""What DVC and git know: overrides, the queue, dvc.lock, the last commit's parameters."""
