"""The cluster that ``raft-exporter demo`` runs."""
