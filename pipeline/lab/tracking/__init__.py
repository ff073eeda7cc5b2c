"""How do other people's dashboards show these experiments?"""
