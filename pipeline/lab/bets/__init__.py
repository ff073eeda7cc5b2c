"""How well does one know beforehand what a run will give?"""
