"""The figures of a crowd, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.growth.coming import NAMES
from benchmarks.growth.crowd import SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.growth.crowd import Result


def table(rarely: Result, default: Result | None) -> str:
    """The figures, as Markdown: what became of everybody, and both runs beside each other.

    Args:
        rarely: the run with full collections that are rare.
        default: the one with CPython's own, if it could be made.
    """
    runs = [rarely] if default is None else [rarely, default]
    return f"{_accounts_table(rarely)}\n\n{_runs_table(runs)}\n\n{_process_table(rarely)}"


def _accounts_table(result: Result) -> str:
    lines = ["| clients | that | events they had | streams ended |", "| --- | --- | --- | --- |"]
    for name, account in result.accounts.items():
        ended = ", ".join(f"`{outcome}` {count:,}" for outcome, count in account.ended.items())
        lines.append(f"| {account.clients:,} | {name} | {account.events:,} | {ended} |")
    return "\n".join(lines)


def _runs_table(results: Sequence[Result]) -> str:
    columns = [_figures(result) for result in results]
    names = [NAMES[each] for each in ("rarely", "default")][: len(results)]
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(results)]
    lines += [f"| {name} | {' | '.join(each[name] for each in columns)} |" for name in columns[0]]
    return "\n".join(lines)


def _figures(result: Result) -> dict[str, str]:
    run, coming, seen = result.run, result.coming, result.run.seen
    return {
        "all are open after": f"{result.opening:.1f} s",
        "longest pause of the garbage collector until then": f"{coming.pause_most:.0f} ms",
        f"events in the {SECONDS:g} s from then": f"{run.events:,}",
        "events of those who stay, of those that were due": f"{run.rate:.4f}",
        "delay p50 / p99 / most": " / ".join(f"{each:.0f}" for each in run.delay) + " ms",
        "longest pause of the garbage collector": f"{seen.pause_most:.0f} ms",
        "the event loop was late p99 / most": f"{seen.late_p99:.0f} / {seen.late_most:.0f} ms",
        "the server's core was busy": f"{run.server:.0%}",
        "other programs took of it": f"{run.waited:.0%}",
        "the clients' core was busy": f"{run.client:.0%}",
    }


def _process_table(result: Result) -> str:
    before, after = result.before, result.after
    empty, full, left, again = (f"{each / 1024:.0f} MiB" for each in result.memory)
    rows = {
        "tasks": (before.tasks, after.tasks),
        "threads": (before.threads, after.threads),
        "descriptors": (before.descriptors, after.descriptors),
        "objects that the garbage collector looks at": (before.objects, after.objects),
        "objects that only it could free": (before.unreachable, after.unreachable),
    }
    lines = ["| the server's process | before | after |", "| --- | --- | --- |"]
    lines += [f"| {name} | {was:,} | {is_now:,} |" for name, (was, is_now) in rows.items()]
    lines.append(f"| memory; {full} with all open, {again} with as many again | {empty} | {left} |")
    return "\n".join(lines)
