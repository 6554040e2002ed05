"""Tests through real proxies: nginx, haproxy and caddy from Debian, in front of a real uvicorn.

Each proxy is one process per variant in `variants.VARIANTS`, started on first use on a free port with a
directory of its own, and stopped at the end. The variant that is called after its proxy alone runs the very
file that the documentation shows. What was measured is printed at the end, and kept in `.cache/proxies.json`.
"""
