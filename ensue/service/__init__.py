"""One request from text to text: encode, generate, decode, stop. Knows no HTTP and no engine but the contract."""
