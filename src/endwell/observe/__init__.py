"""The record of an ending, and everybody who is told of it."""

from endwell.observe._ending import Ending, SourceEnd
from endwell.observe._log import is_logged, log_ending, logger
from endwell.observe._notify import Callback, Notifier

__all__ = ["Callback", "Ending", "Notifier", "SourceEnd", "is_logged", "log_ending", "logger"]
