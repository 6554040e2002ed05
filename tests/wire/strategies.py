"""What the property tests of the wire are fed with."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

TRICKY = '\r\n\0\x0b\x0c\x1c\x85\u2028\u2029\ufeff\x1b\x7f :[]{}"\\,aé€😀'
"""Line ends of SSE, line ends that are none, and whatever else an encoder may trip over."""

LONE_SURROGATES = "\ud800\udfff"

tricky_text = st.text(st.sampled_from(TRICKY) | st.characters(codec="utf-8"))
any_text = st.text(st.sampled_from(TRICKY + LONE_SURROGATES) | st.characters())


def cut(stream: bytes) -> st.SearchStrategy[list[bytes]]:
    """`stream` in pieces, cut anywhere, also within a character or a CRLF, and with empty pieces."""
    places = st.lists(st.integers(0, len(stream)))
    return places.map(lambda cuts: _pieces(stream, sorted(cuts)))


def _pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    return [stream[start:end] for start, end in itertools.pairwise([0, *cuts, len(stream)])]
