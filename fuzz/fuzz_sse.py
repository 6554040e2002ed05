"""Whatever events are sent, a browser reads these and no others. `python fuzz/fuzz_sse.py --seconds 5`."""

from __future__ import annotations

from _loop import Draw, main, sayable  # isort: skip  (it makes the next imports possible)

from endwell.errors import ChunkError
from endwell.wire import SSE, Event
from tests.wire.whatwg import Decoder, Message

FORMAT = SSE()


def check(data: bytes) -> None:
    draw = Draw(data)
    frames: list[bytes] = []
    expected: list[Message] = []
    while draw:
        frames.extend([FORMAT.heartbeat] * draw.number(3))
        made = _event(draw)
        if made is None:
            continue
        frames.append(FORMAT.encode(made))
        expected.append(_meant(made, expected[-1].last_event_id if expected else ""))
    assert _read(b"".join(frames), cut=len(data) % 7 + 1) == expected


def _event(draw: Draw) -> Event | None:
    """An event of random text, or None if it was refused, which it may only be for a reason."""
    text, name, id_, comment = draw.text(), draw.text(), draw.text(), draw.text()
    try:
        event = Event(text, event=name, id=id_ if draw.number(4) else len(id_), comment=comment)
        FORMAT.encode(event)
    except ChunkError:
        assert not sayable(text + name + id_ + comment) or set(name + id_) & set("\r\n\0")
        return None
    return event


def _meant(event: Event, last_id: str) -> Message:
    text = str(event.data).replace("\r\n", "\n").replace("\r", "\n")
    return Message(text, event.event or "message", last_id if event.id is None else str(event.id))


def _read(stream: bytes, cut: int) -> list[Message]:
    decoder = Decoder()
    return [message for at in range(0, len(stream), cut) for message in decoder.feed(stream[at : at + cut])]


if __name__ == "__main__":
    main(check)
