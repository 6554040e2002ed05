"""Very many streams in one process: what is left of them is nothing."""
