# The least that the sidecar's token needs. It is read again whenever its file changes:
#   bao policy write raft-exporter policy.hcl
#   bao token create -orphan -no-default-policy -policy=raft-exporter -period=24h -field=token
# A token with a period has to be renewed within it. Each question is a line in the audit log, two a second.

# The members, which of them vote, and whom Raft on this node takes for the leader.
path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}

# The node's own id, its term, and how often it was a candidate.
path "sys/metrics" {
  capabilities = ["read"]
}
