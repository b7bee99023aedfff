"""From settings to running parts: the only place that chooses implementations. One module a process."""
