# The least that the sidecar's token needs: its own agent's facts, and the configuration of Raft.
agent_prefix "" {
  policy = "read"
}
operator = "read"
