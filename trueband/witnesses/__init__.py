"""The optimized models and anybody's models as witnesses: built from NumPy weights, called with NumPy arrays."""
