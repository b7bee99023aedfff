"""What outlives the process, in SQL: API keys. Knows nothing of HTTP or of generation."""
