"""Alembic's scripts: env.py says how they run, versions/ holds them."""
