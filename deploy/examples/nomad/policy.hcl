# The least with which the sidecar sees its own agent. The configuration of Raft with server ids is shown by Nomad to a
# management token alone; without one the sidecar knows the members by their addresses.
agent {
  policy = "read"
}
