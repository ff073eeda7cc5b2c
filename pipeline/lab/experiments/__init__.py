"""`rally show`, and the checks before DVC runs, queues, saves or applies an experiment."""
