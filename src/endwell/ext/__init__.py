"""Where frameworks are met: the only floor that imports one."""

from ._decorators import cancel_on_disconnect
from ._responses import ByteStream, EventStream, NDJSONStream, StreamResponse
from ._streams import Streams

__all__ = ["ByteStream", "EventStream", "NDJSONStream", "StreamResponse", "Streams", "cancel_on_disconnect"]
