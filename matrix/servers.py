"""The servers, as data. A new one is an entry here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from tests.servers.servers import CONFIGS, Config

_TESTED = {config.name: config for config in CONFIGS}
_GUNICORN = (
    "gunicorn",
    "{app}",
    "--bind",
    "{host}:{port}",
    "--log-level",
    "warning",
    "--no-control-socket",
    "--graceful-timeout",
    "2",
)


@dataclass(frozen=True, kw_only=True)
class Served:
    """One server configuration.

    Attributes:
        config: how it is started.
        http: the version of HTTP that is spoken to it.
        needs: packages beside the server's own.
    """

    config: Config
    http: int = 1
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As `--only` has it."""
        return self.config.name

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [each for each in (self.config.package, *self.needs) if find_spec(each) is None]

    def listening_on(self, address: str) -> Config:
        """How it is started on `address` instead of the loopback."""
        return replace(self.config, args=tuple(arg.replace("{host}", address) for arg in self.config.args))


SERVERS: tuple[Served, ...] = (
    *(Served(config=config) for config in CONFIGS if config.package == "uvicorn"),
    Served(config=_TESTED["hypercorn"]),
    Served(config=replace(_TESTED["hypercorn"], name="hypercorn-h2"), http=2),
    Served(config=_TESTED["granian"]),
    Served(
        config=replace(_TESTED["granian"], name="granian-h2", args=(*_TESTED["granian"].args, "--http", "2")),
        http=2,
    ),
    Served(config=_TESTED["daphne"]),
    Served(
        config=Config(name="gunicorn-uvicorn", args=(*_GUNICORN, "-k", "uvicorn_worker.UvicornWorker")),
        needs=("uvicorn_worker",),
    ),
    Served(config=Config(name="gunicorn-asgi", args=(*_GUNICORN, "-k", "asgi"))),
)
"""Left to right, as in the table."""
