"""Is one variant better than another? Differences with intervals, which knob mattered, and the page of a comparison."""
