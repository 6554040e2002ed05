"""The record of an ending, and everybody who is told of it."""

from endwell.observe._ending import Ending, SourceEnd
from endwell.observe._let_go import forsake, let_go
from endwell.observe._log import is_logged, log_ending, logger
from endwell.observe._notify import Callback, Notifier

__all__ = [
    "Callback",
    "Ending",
    "Notifier",
    "SourceEnd",
    "forsake",
    "is_logged",
    "let_go",
    "log_ending",
    "logger",
]
