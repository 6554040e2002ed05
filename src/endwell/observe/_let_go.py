"""Tasks that nobody waits for any more: they were to end, and have not.

The event loop refers to tasks weakly, so they are kept here: without this they could be collected in the
middle of what they still hold.
"""

from __future__ import annotations

import asyncio
from typing import Any

_let_go: set[asyncio.Task[Any]] = set()


def let_go(task: asyncio.Task[Any]) -> None:
    """Wait for it no more, but keep it until it ends by itself."""
    if not task.done():
        _let_go.add(task)
        task.add_done_callback(_let_go.discard)


def forsake() -> None:
    """Have the running loop end without those that have not ended since.

    asyncio.run cancels every task there is and waits for all of them: one that takes no notice would keep the
    process alive for ever. To unregister a task is what asyncio has for those who run tasks in ways of their
    own ("Extending", in its documentation).
    """
    loop = asyncio.get_running_loop()
    for task in [task for task in _let_go if task.get_loop() is loop]:
        asyncio.tasks._unregister_task(task)  # noqa: SLF001
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it is known
