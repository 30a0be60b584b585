package observer

import (
	"time"

	"github.com/hashicorp/raft"
)

// event is one observation as it waits in the queue: small, and free of references into Raft.
type event struct {
	at          time.Time
	kind        string
	peer        string
	address     string
	leader      string
	candidate   string
	suffrage    string
	state       string
	removed     bool
	term        uint64
	lastContact time.Time
}

// membership tells whether the configuration may have changed with this event.
func (e event) membership() bool {
	return e.kind == "peer" || e.kind == "leader" || e.kind == "state"
}

// newEvent turns an observation into an event; false for a kind that this package does not know.
func newEvent(data any, at time.Time) (event, bool) {
	switch d := data.(type) {
	case raft.FailedHeartbeatObservation:
		return event{at: at, kind: "failed_heartbeat", peer: string(d.PeerID), lastContact: d.LastContact}, true
	case raft.ResumedHeartbeatObservation:
		return event{at: at, kind: "resumed_heartbeat", peer: string(d.PeerID)}, true
	case raft.LeaderObservation:
		return event{at: at, kind: "leader", leader: string(d.LeaderID), address: string(d.LeaderAddr)}, true
	case raft.RaftState:
		return event{at: at, kind: "state", state: d.String()}, true
	case raft.PeerObservation:
		return event{
			at: at, kind: "peer", removed: d.Removed, peer: string(d.Peer.ID),
			address: string(d.Peer.Address), suffrage: d.Peer.Suffrage.String(),
		}, true
	case raft.RequestVoteRequest:
		return event{at: at, kind: "request_vote", term: d.Term, candidate: string(d.ID)}, true
	case raft.RequestPreVoteRequest:
		return event{at: at, kind: "request_pre_vote", term: d.Term, candidate: string(d.ID)}, true
	}
	return event{}, false
}
