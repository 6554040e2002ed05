"""What the hot paths cost, counted: the same on every machine, so that no regression hides in noise.

    python -m tests.budgets                   # all paths, with the places that cost most
    python -m tests.budgets heartbeat         # one of them
    scripts/update-budgets                    # what they cost now is what they may cost

`paths.py` says what the paths are, `counting.py` what is counted, `budgets.toml` what they may cost.
"""
