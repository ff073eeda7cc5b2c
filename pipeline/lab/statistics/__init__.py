"""How sure is a number, and is a difference more than noise?"""
