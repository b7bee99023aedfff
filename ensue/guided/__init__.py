"""Guided decoding: from a constraint on the text to the tokens that may come next."""
