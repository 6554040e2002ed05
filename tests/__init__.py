"""The tests. A package, so that `tests/demo` is `tests.demo` and not `demo`."""
