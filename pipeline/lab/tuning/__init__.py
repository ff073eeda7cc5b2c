"""`rally autotune`: the fastest settings of this machine."""
