package observer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"
)

const (
	streamVersion = 1
	// maxLine is the limit of the stream contract, with the newline.
	maxLine = 262144
)

type header struct {
	Type  string  `json:"type"`
	AgeMS float64 `json:"age_ms"`
}

type helloMessage struct {
	header
	StreamVersion      int     `json:"stream_version"`
	NodeID             string  `json:"node_id"`
	Address            string  `json:"address"`
	HeartbeatTimeoutMS float64 `json:"heartbeat_timeout_ms"`
	ElectionTimeoutMS  float64 `json:"election_timeout_ms"`
	LibraryVersion     string  `json:"library_version"`
}

type statsMessage struct {
	header
	Stats              map[string]string `json:"stats"`
	LeaderID           string            `json:"leader_id"`
	LeaderAddress      string            `json:"leader_address"`
	InstallingSnapshot bool              `json:"installing_snapshot"`
}

type serverEntry struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Suffrage string `json:"suffrage"`
}

type configurationMessage struct {
	header
	Index   uint64        `json:"index"`
	Servers []serverEntry `json:"servers"`
}

type heartbeatEntry struct {
	Peer      string   `json:"peer"`
	Count     uint64   `json:"count"`
	LastAgeMS float64  `json:"last_age_ms"`
	SumMS     float64  `json:"sum_ms"`
	MaxMS     float64  `json:"max_ms"`
	Buckets   []uint64 `json:"buckets"`
}

type heartbeatsMessage struct {
	header
	Peers []heartbeatEntry `json:"peers"`
}

type droppedMessage struct {
	header
	Count uint64 `json:"count"`
}

// observationMessage holds the fields of every kind; the pointers leave out those of the others.
type observationMessage struct {
	header
	Kind             string   `json:"kind"`
	Peer             *string  `json:"peer,omitempty"`
	LastContactAgeMS *float64 `json:"last_contact_age_ms,omitempty"`
	LeaderID         *string  `json:"leader_id,omitempty"`
	LeaderAddress    *string  `json:"leader_address,omitempty"`
	State            *string  `json:"state,omitempty"`
	Address          *string  `json:"address,omitempty"`
	Suffrage         *string  `json:"suffrage,omitempty"`
	Removed          *bool    `json:"removed,omitempty"`
	Term             *uint64  `json:"term,omitempty"`
	Candidate        *string  `json:"candidate,omitempty"`
}

// message turns an event into its line, with the ages as of now.
func (e event) message(now time.Time) observationMessage {
	m := observationMessage{header: header{"observation", age(e.at, now)}, Kind: e.kind}
	switch e.kind {
	case "failed_heartbeat":
		m.Peer = &e.peer
		if !e.lastContact.IsZero() {
			contact := age(e.lastContact, now)
			m.LastContactAgeMS = &contact
		}
	case "resumed_heartbeat":
		m.Peer = &e.peer
	case "leader":
		m.LeaderID, m.LeaderAddress = &e.leader, &e.address
	case "state":
		m.State = &e.state
	case "peer":
		m.Peer, m.Address, m.Suffrage, m.Removed = &e.peer, &e.address, &e.suffrage, &e.removed
	case "request_vote", "request_pre_vote":
		m.Term, m.Candidate = &e.term, &e.candidate
	}
	return m
}

// age is the time from then to now in milliseconds, never negative.
func age(then, now time.Time) float64 {
	return max(0, milliseconds(now.Sub(then)))
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// encode writes one line into buffer; an error when it is longer than the contract allows.
func encode(buffer *bytes.Buffer, message any) error {
	buffer.Reset()
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		return err
	}
	if buffer.Len() > maxLine {
		return fmt.Errorf("a line of %d bytes, the limit is %d", buffer.Len(), maxLine)
	}
	return nil
}

// libraryVersion is the version of hashicorp/raft that this binary was built with, "" when it is not known.
func libraryVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return moduleVersion(info, "github.com/hashicorp/raft")
}

func moduleVersion(info *debug.BuildInfo, path string) string {
	for _, module := range info.Deps {
		if module.Path != path {
			continue
		}
		if module.Replace != nil {
			return module.Replace.Version
		}
		return module.Version
	}
	return ""
}
