"""Where each microsecond goes: the kernel, the event loop, the server, the framework, endwell's floors.

    scripts/profile                # raw and endwell, works 1, 2, 4 and 5; 6 minutes
    scripts/profile 2 --quick      # a look
    scripts/profile --docs         # into docs/explanation/where-time-goes.md

Samples are taken by Linux's perf, of processor time and not of time, so they are right on a busy machine too.
From 3.12 on, Python tells perf which of its functions runs.
"""
