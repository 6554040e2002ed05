"""The machine: its table, its deadlines, its causes, and any life it can be given."""
