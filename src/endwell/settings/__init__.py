"""What can be set: how long each part of a stream may take, how many there may be, what surrounds them.

All durations are seconds (int or float). `None` switches a limit off where that makes sense. Everything is
checked when it is built, so that a wrong value fails at import, not in the middle of a stream.
"""

from endwell.settings._checks import check_count, check_duration, check_known, is_whole
from endwell.settings._deployment import LEEWAY, Deployment
from endwell.settings._limits import Limits
from endwell.settings._policy import MAX_RETRY, Finish, Grace, OnLeave, Policy

__all__ = [
    "LEEWAY",
    "MAX_RETRY",
    "Deployment",
    "Finish",
    "Grace",
    "Limits",
    "OnLeave",
    "Policy",
    "check_count",
    "check_duration",
    "check_known",
    "is_whole",
]
