"""Where frameworks are met: the only floor that imports one."""

from endwell.ext._decorators import cancel_on_disconnect
from endwell.ext._responses import ByteStream, EventStream, NDJSONStream, StreamResponse
from endwell.ext._streams import Streams

__all__ = ["ByteStream", "EventStream", "NDJSONStream", "StreamResponse", "Streams", "cancel_on_disconnect"]
