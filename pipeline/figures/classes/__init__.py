"""What does a classifier get right, and what wrong?"""
