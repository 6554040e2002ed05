"""Many launches: started together, signalled one after the other, waited for together.

Starting takes the processor, and shutting down is what is measured: so they do not overlap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.servers.client import Closed
from tests.shutdown.launch import Case, Launch, NotReached, Report

AT_A_TIME = 4
"""Servers that are starting."""
GAP = 0.1
"""Seconds between two signals, for each process: its end takes the processor too."""


def launch(cases: Sequence[Case], folder: Path) -> list[Report | str]:
    """Launch all of them; the reports in the same order, or why there is none.

    Each has a folder of its own in `folder`.
    """
    with ExitStack() as stack:
        launches = [Launch(case, _folder(folder, number)) for number, case in enumerate(cases)]
        for each in launches:
            stack.callback(each.close)
        with ThreadPoolExecutor(AT_A_TIME) as starting:
            failed = list(starting.map(lambda each: _failure(each.start), launches))
        for at, each in enumerate(launches):
            failed[at] = failed[at] or _failure(each.signal)
            time.sleep(GAP * each.case.served.processes)
        return [each.finish() if why is None else why for each, why in zip(launches, failed, strict=True)]


def _failure(step: Callable[[], None]) -> str | None:
    try:
        step()
    except (NotReached, Closed, RuntimeError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _folder(folder: Path, number: int) -> Path:
    made = folder / str(number)
    made.mkdir(parents=True)
    return made
