"""Whether a file belongs to the parameters, code and data beside it, by dvc.lock."""
