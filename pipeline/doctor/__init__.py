"""Is it healthy, and if not, why?"""
