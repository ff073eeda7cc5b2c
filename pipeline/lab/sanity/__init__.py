"""`rally check-model`: is the network sound before it is trained?"""
