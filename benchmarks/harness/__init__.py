"""Starts servers, reads the kernel's accounts, pairs the rounds and reports."""
