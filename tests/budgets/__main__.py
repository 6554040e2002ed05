"""Run by `python -m tests.budgets`, in a process of its own: nothing else may trace it, or have run in it."""

from __future__ import annotations

import importlib
import sys
import time

from tests.budgets.clock import CLOCK

if __name__ == "__main__":
    # Before anything takes the real one: how many events fit into a slice of time is not to be the machine's
    # affair.
    time.monotonic = CLOCK
    sys.exit(importlib.import_module("tests.budgets.program").main())
