"""How does the loss depend on the size of a model and on the tokens that it learns from?"""
