"""Seconds that the application and those who judge it share."""

from __future__ import annotations

DRAIN, CLEANUP = 2.0, 1.0
"""The policy's."""
AWAITED = 0.05
"""What the awaited cleanup of a source takes."""
LINGER = 0.5
"""The same of a source that has been left when the signal comes; and what a slow dependency takes."""
AT_ONCE = 1.0
"""In this time what is well-behaved has ended."""
