"""Benchmarks: ``python -m bench.NAME`` prints a table, and one JSON object as its last line.

Machines are noisy, so whatever is compared is measured side by side in one run, and what counts is the ratio.
Files that begin with an underscore are no programs but what the programs share.
"""
