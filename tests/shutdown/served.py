"""The servers that are shut down, with the options they have by themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from tests.servers.servers import CONFIGS, Config

_TESTED = {config.name: config for config in CONFIGS}
_GUNICORN = ("gunicorn", "{app}", "--bind", "{host}:{port}", "--log-level", "warning", "--no-control-socket")


SUPERVISED = ("hypercorn", "granian", "gunicorn")
"""They have a process that serves nothing, also with one worker."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One server configuration.

    Attributes:
        config: how it is started.
        http: the version of HTTP that is spoken to it.
        workers: how many processes serve.
        lifespan: it runs the application's startup and shutdown.
        needs: packages beside the server's own.
        own: seconds that it takes to go without any stream.
        own_words: what it logs by itself where it must be clean otherwise.
    """

    config: Config
    http: int = 1
    workers: int = 1
    lifespan: bool = True
    needs: tuple[str, ...] = ()
    own: float = 0.2
    own_words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """In test ids, and as `make matrix` has it."""
        return self.config.name

    @property
    def processes(self) -> int:
        """How many there are, with the one that sees to the workers."""
        return self.workers + (self.workers > 1 or self.config.package in SUPERVISED)

    @property
    def family(self) -> str:
        """The server, whatever its options; of gunicorn's workers each is one."""
        return (
            "-".join(self.name.split("-")[:2]) if self.config.package == "gunicorn" else self.config.package
        )

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [each for each in (self.config.package, *self.needs) if find_spec(each) is None]


def _with(name: str, suffix: str, *options: str) -> Config:
    config = _TESTED[name]
    return replace(config, name=config.name + suffix, args=(*config.args, *options))


def _gunicorn(worker: str, *options: str) -> Config:
    kinds = {"asgi": "asgi", "uvicorn": "uvicorn_worker.UvicornWorker"}
    name = f"gunicorn-{worker}{'-workers' if options else ''}"
    return Config(name=name, args=(*_GUNICORN, "-k", kinds[worker], *options))


_TWO = ("--workers", "2")
_UVICORN = "uvicorn-httptools-uvloop"

SERVED: tuple[Served, ...] = (
    *(Served(config=config) for config in CONFIGS if config.package == "uvicorn"),
    Served(
        config=_with(_UVICORN, "-timeout", "--timeout-graceful-shutdown", "1"),
        # It cancels the requests that are left after a second, and says so of each.
        own_words=("Cancel ", "Exception in ASGI application", "Traceback"),
    ),
    Served(config=_with(_UVICORN, "-workers", *_TWO), workers=2),
    Served(config=_TESTED["hypercorn"], own=0.5),
    Served(config=_with("hypercorn", "-h2"), http=2, own=0.5),
    Served(config=_TESTED["granian"]),
    Served(config=_with("granian", "-h2", "--http", "2"), http=2),
    Served(config=_with("granian", "-workers", *_TWO), workers=2),
    Served(config=_TESTED["daphne"], lifespan=False),
    Served(config=_gunicorn("uvicorn"), needs=("uvicorn_worker",)),
    Served(config=_gunicorn("uvicorn", *_TWO), workers=2, needs=("uvicorn_worker",)),
    *(
        Served(
            config=_gunicorn("asgi", *options),
            workers=1 + bool(options),
            own=1.2,  # it looks once a second whether it is to stop
            own_words=("without completing the response",),  # of a body that is cut
        )
        for options in ((), _TWO)
    ),
)
"""Left to right, as in the table."""
