"""Claims of studies: does a measure over many runs do what was predicted?"""
