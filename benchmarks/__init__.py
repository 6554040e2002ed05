"""What streaming costs: endwell beside raw ASGI and other libraries, on one machine, in interleaved rounds.

    python -m benchmarks 1 2 --peers raw,endwell,starlette,sse-starlette --rounds 5 [--quick]

A new workload is one file in `workloads/`, a new peer one file in `peers/`. Linux only: the figures come from
the kernel's own accounts of processor time and memory.
"""
