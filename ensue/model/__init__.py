"""Weights and the forward pass: tensors in, tensors out. Knows nothing of requests."""
