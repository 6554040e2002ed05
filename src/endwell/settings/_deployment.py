"""What the platform does when a process is to go, and whether it fits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from endwell.settings._checks import Options, check_count, check_duration
from endwell.settings._policy import Policy

LEEWAY = 0.5
"""Seconds after the drain's deadline by which the process may exit, whatever hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment(Options):
    """The numbers of the platform that must fit those of the `Policy`, so that a deployment cuts no stream.

    `Streams(deployment=…)` logs a warning for each problem when the application starts, and a test of your
    own can ask for them: `assert not Deployment(pre_stop=5).problems(policy)`.

    Args:
        grace_period: Seconds from the moment the process is to go until it is killed, `pre_stop` included:
            Kubernetes' terminationGracePeriodSeconds. Default 30, as there.
        pre_stop: Seconds of a preStop hook, which come before the signal. Default 0.
        endpoint_lag: Seconds until everybody in front of the process knows that it goes, and sends it no new
            requests. Default 5; 0 where whoever stops the process has told them first.
        server_timeout: Seconds after which the server itself loses patience: its graceful or kill timeout.
            None (default) waits, as uvicorn and granian do unless told; hypercorn's own is 3, gunicorn's 30.
        app_shutdown: Seconds that the application's own shutdown takes, after the streams. Default 1.
        streams: How many streams may be open in what goes at once, whose clients then come back; None
            (default) asks nothing of the policy's `retry`.
        streams_per_second: How many new ones the processes that stay can take in a second. Default 1000.

    Raises:
        ConfigurationError: A value is out of its bounds; the message names the field, the value, the bound.
        TypeError: An unknown option; the message names the nearest one.
    """

    grace_period: float = 30.0
    pre_stop: float = 0.0
    endpoint_lag: float = 5.0
    server_timeout: float | None = None
    app_shutdown: float = 1.0
    streams: int | None = None
    streams_per_second: int = 1000

    def __post_init__(self) -> None:
        check_duration("grace_period", self.grace_period)
        check_duration("server_timeout", self.server_timeout, optional=True)
        for name in ("pre_stop", "endpoint_lag", "app_shutdown"):
            check_duration(name, getattr(self, name), zero=True)
        if self.streams is not None:
            check_count("streams", self.streams)
        check_count("streams_per_second", self.streams_per_second)

    def problems(self, policy: Policy) -> list[str]:
        """What does not fit, each with its numbers and the mend; empty if everything does."""
        found = (self._killed(policy), self._impatient(policy), self._too_early(policy), self._herd(policy))
        return [problem for problem in found if problem]

    def _shutdown(self, policy: Policy) -> tuple[float, str]:
        """Seconds from the signal to the end of the process, and what makes them up."""
        parts = f"drain ({policy.drain:g}) + {LEEWAY:g} + app_shutdown ({self.app_shutdown:g})"
        return policy.drain + LEEWAY + self.app_shutdown, parts

    def _killed(self, policy: Policy) -> str:
        shutdown, parts = self._shutdown(policy)
        needed = self.pre_stop + shutdown
        if needed <= self.grace_period:
            return ""
        when = "before its streams are told" if self.pre_stop >= self.grace_period else "while it shuts down"
        return (
            f"the process is killed {when}: pre_stop ({self.pre_stop:g}) + {parts} make {needed:g} s, and "
            f"grace_period is {self.grace_period:g} s; make it at least {math.ceil(needed)} s, or take "
            f"{needed - self.grace_period:g} s off the others"
        )

    def _impatient(self, policy: Policy) -> str:
        needed, parts = self._shutdown(policy)
        if self.server_timeout is None or self.server_timeout >= needed:
            return ""
        return (
            f"the server cancels streams or kills the process {self.server_timeout:g} s after the signal "
            f"(server_timeout): {parts} make {needed:g} s; set its timeout to at least {math.ceil(needed)} s"
        )

    def _too_early(self, policy: Policy) -> str:
        unready = self.endpoint_lag - self.pre_stop
        if unready <= 0:
            return ""
        grace_period = math.ceil(self.endpoint_lag + self._shutdown(policy)[0])
        return (
            f"new requests come for {unready:g} s in which they are turned away: endpoint_lag is "
            f"{self.endpoint_lag:g} s, pre_stop {self.pre_stop:g} s; let preStop sleep {self.endpoint_lag:g} "
            f"s, in a grace_period of at least {grace_period} s, as it counts as part of it"
        )

    def _herd(self, policy: Policy) -> str:
        least, most = policy.retry or (0, 0)
        span = math.ceil(1000 * (self.streams or 0) / self.streams_per_second)
        if most - least >= span:
            return ""
        return (
            f"{self.streams} clients come back within {most - least} ms (retry is {policy.retry}), and "
            f"{self.streams_per_second} a second are welcome (streams_per_second); "
            f"set retry to ({least or 1000}, {(least or 1000) + span})"
        )
