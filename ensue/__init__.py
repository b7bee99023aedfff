"""ensue: the completions API of an LLM provider in a box."""

__version__ = "0.1.0"
