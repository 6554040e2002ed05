"""Streams that read from somewhere else: PostgreSQL through its pools, and HTTP."""
