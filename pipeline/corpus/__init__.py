"""What is there to learn from?"""
