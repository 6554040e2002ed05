"""The record of an ending, and everybody who is told of it."""

from ._ending import Ending
from ._log import log_ending, logger
from ._notify import Callback, Notifier

__all__ = ["Callback", "Ending", "Notifier", "log_ending", "logger"]
