package main

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const recorderSize = 20000

// record is one observation as /observations tells it.
type record struct {
	Seq           uint64   `json:"seq"`
	UnixMS        float64  `json:"unix_ms"`
	Kind          string   `json:"kind"`
	Peer          string   `json:"peer,omitempty"`
	LastContactMS *float64 `json:"last_contact_age_ms,omitempty"`
	LeaderID      *string  `json:"leader_id,omitempty"`
	LeaderAddress *string  `json:"leader_address,omitempty"`
	State         string   `json:"state,omitempty"`
	Address       string   `json:"address,omitempty"`
	Suffrage      string   `json:"suffrage,omitempty"`
	Removed       *bool    `json:"removed,omitempty"`
	Term          uint64   `json:"term,omitempty"`
	Candidate     string   `json:"candidate,omitempty"`
}

// recorder keeps the last observations with the time of day, apart from the observer
// package: tests compare the two.
type recorder struct {
	raft       *raft.Raft
	registered *raft.Observer
	stopped    chan struct{}
	done       chan struct{}

	mu      sync.Mutex
	records []record
	next    uint64
}

func startRecorder(r *raft.Raft) *recorder {
	observations := make(chan raft.Observation, 1024)
	rec := &recorder{
		raft: r, registered: raft.NewObserver(observations, false, nil),
		stopped: make(chan struct{}), done: make(chan struct{}), next: 1,
	}
	r.RegisterObserver(rec.registered)
	go func() {
		defer close(rec.done)
		for {
			select {
			case o := <-observations:
				rec.add(o.Data, time.Now())
			case <-rec.stopped:
				return
			}
		}
	}()
	return rec
}

func (rec *recorder) stop() {
	rec.raft.DeregisterObserver(rec.registered)
	close(rec.stopped)
	<-rec.done
}

func (rec *recorder) add(data any, now time.Time) {
	n := record{UnixMS: float64(now.UnixMicro()) / 1000}
	switch d := data.(type) {
	case raft.FailedHeartbeatObservation:
		n.Kind, n.Peer = "failed_heartbeat", string(d.PeerID)
		if !d.LastContact.IsZero() {
			age := float64(now.Sub(d.LastContact).Microseconds()) / 1000
			n.LastContactMS = &age
		}
	case raft.ResumedHeartbeatObservation:
		n.Kind, n.Peer = "resumed_heartbeat", string(d.PeerID)
	case raft.LeaderObservation:
		id, address := string(d.LeaderID), string(d.LeaderAddr)
		n.Kind, n.LeaderID, n.LeaderAddress = "leader", &id, &address
	case raft.RaftState:
		n.Kind, n.State = "state", d.String()
	case raft.PeerObservation:
		n.Kind, n.Peer, n.Removed = "peer", string(d.Peer.ID), &d.Removed
		n.Address, n.Suffrage = string(d.Peer.Address), d.Peer.Suffrage.String()
	case raft.RequestVoteRequest:
		n.Kind, n.Term, n.Candidate = "request_vote", d.Term, string(d.ID)
	case raft.RequestPreVoteRequest:
		n.Kind, n.Term, n.Candidate = "request_pre_vote", d.Term, string(d.ID)
	default:
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	n.Seq = rec.next
	rec.next++
	if len(rec.records) < recorderSize {
		rec.records = append(rec.records, n)
	} else {
		rec.records[(n.Seq-1)%recorderSize] = n
	}
}

// recorded answers /observations: ask again with since = Next.
type recorded struct {
	Next    uint64   `json:"next"`
	Dropped uint64   `json:"dropped"`
	Events  []record `json:"events"`
}

// since gives the records from seq on; Dropped counts what raft dropped and what the ring has overwritten.
func (rec *recorder) since(seq uint64) recorded {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	oldest := rec.next - uint64(len(rec.records))
	out := recorded{
		Next: rec.next, Dropped: rec.registered.GetNumDropped() + oldest - 1,
		Events: make([]record, 0),
	}
	for s := max(seq, oldest); s < rec.next; s++ {
		out.Events = append(out.Events, rec.records[(s-1)%recorderSize])
	}
	return out
}
