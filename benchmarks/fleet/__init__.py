"""Thousands of clients on one server that does what no peer does: it stops streams, and it drains."""
