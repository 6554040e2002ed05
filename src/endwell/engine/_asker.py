"""What a request says of who asks, worked out only when somebody wants to know."""

from __future__ import annotations

from collections.abc import Iterable

from endwell.wire import marks_the_end


class Asker:
    """The client, from its request.

    Args:
        method: The request's method.
        headers: The request's headers as in ASGI: pairs of bytes, the names in lower case.
    """

    __slots__ = ("_headers", "_method")

    def __init__(self, method: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._method = method
        self._headers = headers

    @property
    def wants_headers(self) -> bool:
        """Whether it asks for no more than what GET would begin with."""
        return self._method == "HEAD"

    @property
    def has_seen_the_end(self) -> bool:
        """Whether it has seen the end of what it asks for; see `Numbered`."""
        return marks_the_end(self.last_event_id or "")

    @property
    def is_event_source(self) -> bool:
        """Whether it is a browser's `EventSource`, or something that asks just as it does."""
        accepted = self._value(b"accept") or b""
        return self._method == "GET" and b"text/event-stream" in accepted

    @property
    def last_event_id(self) -> str | None:
        """The last event that it has seen. Anybody can send anything here; None if it is no UTF-8."""
        value = self._value(b"last-event-id")
        try:
            return value.decode() if value else None
        except UnicodeDecodeError:
            return None

    def _value(self, name: bytes) -> bytes | None:
        """The last of its kind: what a proxy or a client adds comes after what was there."""
        return next((value for key, value in reversed(list(self._headers)) if key == name), None)
