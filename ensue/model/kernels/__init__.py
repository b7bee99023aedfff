"""Kernels written in Python and compiled by Numba. They know arrays; what the numbers mean is said above them."""
