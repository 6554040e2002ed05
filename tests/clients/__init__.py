"""Real clients, as their users use them, on a real server: leaving, errors in mid-stream, ids, heartbeats."""
