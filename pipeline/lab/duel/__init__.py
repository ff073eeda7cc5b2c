"""Is this change better than what is there, by more than chance?"""
