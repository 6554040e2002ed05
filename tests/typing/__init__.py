"""What type checkers see: the samples here are checked by mypy, together with the rest of the tests."""
