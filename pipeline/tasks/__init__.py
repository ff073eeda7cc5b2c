"""What is it to learn?"""
