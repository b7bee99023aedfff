"""Counting what keys take: in memory, in files that the processes of a machine share, or in Redis. Knows no HTTP."""
