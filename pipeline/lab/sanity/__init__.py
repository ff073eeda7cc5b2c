"""`rally check-model`: is the network sound before it learns?"""
