"""Secure computation: tensors that nobody can read, computed on by two or three parties."""
