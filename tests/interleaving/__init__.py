"""Every order in which things can happen to a stream, played on the real engine, one handle at a time.

A *schedule* says what happens (`acts`), and after how many handles of the event loop each of it happens (its
*gap*). It is played on an event loop that runs one handle when told to, so that acts come between any two of
them: at every await point there is. The same schedule goes the same way every time, and its code, such as

    direct/sse/open/nested/grace/leave@3,stop@0,cancel@quiet

is all that is needed to play it again: `python -m tests.interleaving CODE` prints what ran, step by step.

What is permuted, and what is not
---------------------------------
asyncio and uvloop run what `call_soon` was given first in, first out, and promise it. A scheduler that put
two callbacks of the engine's own in another order would find faults that nobody can ever have. So the
engine's own order stays as it is, and what comes from *outside* is permuted:

- stop, drain, and the cancellation of the request's task come from foreign tasks, whose handles can stand
  between any two of ours, and from threads: `call_soon_threadsafe` can put a handle anywhere in the queue.
- what the client and the server do (it leaves, a send blocks, goes on, or fails), and what the source waits
  for, comes from sockets. asyncio puts these callbacks at the end of the queue at the start of a turn, uvloop
  runs them at the end of one, granian comes from a thread: again between any two of ours.
- time passes only between two turns of the loop: nowhere else do asyncio and uvloop look for due timers.
  There it may jump over any of them while handles wait, because a loop that is busy is late.

In the engine there is one more clock, that of a source which never waits (`SLICE`): it counts here, see
`world`.
"""
