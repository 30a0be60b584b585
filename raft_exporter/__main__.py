"""``python -m raft_exporter``."""

from raft_exporter.cli import main

main()
