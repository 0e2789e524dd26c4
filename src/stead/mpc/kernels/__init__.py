"""Loops over ring elements and bits: native where a compiler was, NumPy everywhere."""
