# The least that the sidecar's token needs: the members, and this node's own term and indices.
path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}
path "sys/metrics" {
  capabilities = ["read"]
}
