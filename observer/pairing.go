package observer

import "slices"

// pairing ties an index to the servers it belongs to. Raft uses a configuration before it
// is committed, and the FSM learns the index only then: in between, the new servers must
// not be told under the old index.
type pairing struct {
	known   uint64
	servers []serverEntry
}

// index is the log index of servers, 0 while it is not known.
func (p *pairing) index(servers []serverEntry, committed uint64) uint64 {
	if committed != p.known {
		p.known, p.servers = committed, servers
	}
	if !slices.Equal(p.servers, servers) {
		return 0
	}
	return p.known
}
