package observer

import (
	"math"
	"sync"
	"time"

	metrics "github.com/hashicorp/go-metrics/compat"
)

// maxPeers bounds the peers that a tally holds between two reads.
const maxPeers = 1024

// bucketBounds are the upper bounds of the heartbeat histogram in milliseconds; one more bucket holds the rest.
var bucketBounds = [14]float64{0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000}

var processSink HeartbeatSink

// Sink returns the go-metrics sink of this process, to be added to the service's own one
// with metrics.FanoutSink. go-metrics is process-wide, and so is the sink.
func Sink() *HeartbeatSink { return &processSink }

// HeartbeatSink picks the few samples out of go-metrics that raft tells nowhere else: the
// heartbeats that succeeded, and whether a snapshot is being received. All else is ignored.
// It is safe for concurrent use.
type HeartbeatSink struct {
	mu         sync.Mutex
	readers    map[*tally]struct{}
	installing int
}

var _ metrics.MetricSink = (*HeartbeatSink)(nil)

// tally is what one Observer has not read yet: every Observer of a process gets its own
// deltas and its own maximum.
type tally struct {
	peers map[string]*heartbeats
}

// heartbeats sums up the answered heartbeats of one peer.
type heartbeats struct {
	count   uint64
	last    time.Time
	sum     float64
	max     float64
	buckets [len(bucketBounds) + 1]uint64
}

func (h *heartbeats) add(ms float64, at time.Time) {
	h.count++
	h.last = at
	h.sum += ms
	h.max = max(h.max, ms)
	for i, bound := range bucketBounds {
		if ms <= bound {
			h.buckets[i]++
			return
		}
	}
	h.buckets[len(bucketBounds)]++
}

func (s *HeartbeatSink) attach() *tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) == 0 {
		s.readers = make(map[*tally]struct{})
		// A transfer that the shutdown of an earlier Raft cut off never reports its end.
		s.installing = 0
	}
	t := &tally{peers: make(map[string]*heartbeats)}
	s.readers[t] = struct{}{}
	return t
}

func (s *HeartbeatSink) detach(t *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, t)
}

// take returns what t gathered since the last call.
func (s *HeartbeatSink) take(t *tally) map[string]*heartbeats {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := t.peers
	t.peers = make(map[string]*heartbeats, len(taken))
	return taken
}

func (s *HeartbeatSink) installingSnapshot() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.installing > 0
}

// AddSampleWithLabels implements metrics.MetricSink. The value of a timer is in milliseconds.
func (s *HeartbeatSink) AddSampleWithLabels(key []string, val float32, labels []metrics.Label) {
	// A service name, a host name or a type may stand before raft's own part of the key.
	if len(key) < 3 || key[len(key)-3] != "raft" {
		return
	}
	switch family, name := key[len(key)-2], key[len(key)-1]; {
	case family == "replication" && name == "heartbeat":
		s.heartbeat(label(labels, "peer_id"), float64(val))
	case family == "net" && name == "rpcEnqueue" && label(labels, "rpcType") == "InstallSnapshot":
		s.install(1)
	case family == "net" && name == "rpcRespond" && label(labels, "rpcType") == "InstallSnapshot":
		s.install(-1)
	}
}

func (s *HeartbeatSink) heartbeat(peer string, ms float64) {
	if peer == "" || ms < 0 || math.IsNaN(ms) || math.IsInf(ms, 0) {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.readers {
		h, known := t.peers[peer]
		if !known {
			if len(t.peers) >= maxPeers {
				continue
			}
			h = new(heartbeats)
			t.peers[peer] = h
		}
		h.add(ms, now)
	}
}

// install counts transfers in flight. The transport reports rpcEnqueue when the main loop
// takes the request and rpcRespond when it answers, whether or not the transfer succeeded.
func (s *HeartbeatSink) install(delta int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installing = max(0, s.installing+delta)
}

func label(labels []metrics.Label, name string) string {
	for _, l := range labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// SetGauge implements metrics.MetricSink; it ignores the value.
func (s *HeartbeatSink) SetGauge([]string, float32) {}

// SetGaugeWithLabels implements metrics.MetricSink; it ignores the value.
func (s *HeartbeatSink) SetGaugeWithLabels([]string, float32, []metrics.Label) {}

// EmitKey implements metrics.MetricSink; it ignores the value.
func (s *HeartbeatSink) EmitKey([]string, float32) {}

// IncrCounter implements metrics.MetricSink; it ignores the value.
func (s *HeartbeatSink) IncrCounter([]string, float32) {}

// IncrCounterWithLabels implements metrics.MetricSink; it ignores the value.
func (s *HeartbeatSink) IncrCounterWithLabels([]string, float32, []metrics.Label) {}

// AddSample implements metrics.MetricSink; without labels there is no peer to count for.
func (s *HeartbeatSink) AddSample([]string, float32) {}
