"""The wire floor: bytes out, and back in through a decoder that is not endwell's."""
