"""Measurements: ours and a peer in the same run, one table. `python -m bench --help`."""
