"""Which values of the knobs are best, how good are they on fresh seeds, and would a random search have found them too?"""
