"""One line in the log for each ending. A client that leaves is no error."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from endwell.errors import ClientError
from endwell.observe._ending import Ending

_CLIENT_ERRORS = range(400, 500)

logger = logging.getLogger("endwell")


def is_logged(error: BaseException | None, cleanup_errors: Sequence[BaseException]) -> bool:
    """Whether `log_ending` would have anything to say of an ending with these."""
    return error is not None or bool(cleanup_errors) or logger.isEnabledFor(logging.INFO)


def log_ending(ending: Ending) -> None:
    """Log an ending: INFO, or ERROR with the traceback for `failed`; WARNINGs for what the cleanup raised.

    An HTTP error below 500 that was raised before the first chunk is `failed` too, but logged as INFO, and so
    is a `ClientError`. A source that raised when its client had left it alone is logged as ERROR.
    """
    failed = ending.error is not None and not _is_client_error(ending)
    if not failed and not logger.isEnabledFor(logging.INFO):
        _log_cleanup(ending)
        return
    logger.log(
        logging.ERROR if failed else logging.INFO,
        "%s after %d chunk%s in %.3f s%s [%s %s]",
        ending.outcome.value,
        ending.chunks,
        "" if ending.chunks == 1 else "s",
        ending.duration,
        _detail(ending),
        ending.route or "-",
        ending.id,
        exc_info=ending.error if failed else None,
        extra={"ending": ending},
    )
    _log_cleanup(ending)


def _is_client_error(ending: Ending) -> bool:
    """Whether the source spoke to the client on purpose, or answered with a 4xx before its first chunk.

    The frameworks' own such errors have these three; an upstream's client's have the upstream's status.
    """
    error = ending.error
    if isinstance(error, ClientError):
        return True
    answer = error.__dict__ if ending.time_to_first_chunk is None and isinstance(error, Exception) else {}
    return {"detail", "headers"} <= answer.keys() and answer.get("status_code") in _CLIENT_ERRORS


def _detail(ending: Ending) -> str:
    parts = [ending.cause.value.replace("_", " ")]
    if ending.reason:
        parts.append(_in_one_line(ending.reason))
    if ending.reference:
        parts.append(f"ref {ending.reference}")
    return f" ({', '.join(parts)})"


def _in_one_line(text: str) -> str:
    """Escape what would forge a line or steer a terminal: a reason may come from a request."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _log_cleanup(ending: Ending) -> None:
    for error in ending.cleanup_errors:
        logger.warning("cleanup of stream %s raised", ending.id, exc_info=error)
