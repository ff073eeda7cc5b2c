"""The picture of a study: panels with lines, dots and the bounds of its claims."""
