"""raft-exporter: a Prometheus sidecar for nodes that embed hashicorp/raft."""

__version__ = "0.1.0"
