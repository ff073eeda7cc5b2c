"""What will a larger run give?"""
