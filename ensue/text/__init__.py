"""Characters on one side, token ids on the other. Knows nothing of requests or models."""
