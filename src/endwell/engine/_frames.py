"""Naming the line at which something hangs, so that whoever reads the log knows where to look."""

from __future__ import annotations

import asyncio
import os
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ENDWELL = str(Path(__file__).parents[1]) + os.sep
ASYNCIO = str(Path(asyncio.__file__).parent) + os.sep
_PYTHON = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_PACKAGES = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))


def name(frames: Sequence[FrameType]) -> str:
    """Say where the code behind `frames`, the outermost first, stands: `function (file:line)`.

    That is the innermost frame of the application's own code. If it is in somebody else's code there, a
    driver's or the standard library's, that place follows: `chat (app.py:31), in readinto (socket.py:706)`.
    That something ends in a wait of asyncio's, or runs in endwell, is no news.
    """
    if not frames:
        return "an unknown place"
    theirs = [frame for frame in frames if not is_plumbing(frame)]
    own = [frame for frame in theirs if not _is_installed(frame)]
    innermost = (theirs or frames)[-1]
    frame = own[-1] if own else innermost
    return _place(frame) if frame is innermost else f"{_place(frame)}, in {_place(innermost)}"


def calling(frame: FrameType | None) -> list[FrameType]:
    """Return the frames that lead to `frame`, the outermost first, and it."""
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    return stack[::-1]


def is_plumbing(frame: FrameType) -> bool:
    """Whether the frame is endwell's or asyncio's."""
    return frame.f_code.co_filename.startswith((ENDWELL, ASYNCIO))


def _is_installed(frame: FrameType) -> bool:
    """Whether the frame is the standard library's, or an installed package's."""
    file = frame.f_code.co_filename
    return file.startswith((*_PYTHON, "<frozen ")) or any(folder in file for folder in _PACKAGES)


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
