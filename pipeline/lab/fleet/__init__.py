"""How are many trainings handed to other machines?"""
