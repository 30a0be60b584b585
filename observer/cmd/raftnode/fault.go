package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// gate is a place that every call of one kind passes: open, slow, or shut.
type gate struct {
	mu     sync.Mutex
	mode   string
	delay  time.Duration
	change chan struct{}
	closed bool
}

const (
	modeOff     = "off"
	modeStall   = "stall"
	modeSlow    = "slow"
	modeRelease = "release"

	maxSlow = time.Hour
)

// gateState is what GET /fault tells of a gate.
type gateState struct {
	Mode string  `json:"mode"`
	MS   float64 `json:"ms"`
}

func newGate() *gate { return &gate{mode: modeOff, change: make(chan struct{})} }

// pass returns when the fault in force lets it; a change of the fault is felt at once.
func (g *gate) pass() {
	began := time.Now()
	for {
		g.mu.Lock()
		mode, delay, change := g.mode, g.delay, g.change
		g.mu.Unlock()
		var enough <-chan time.Time
		switch mode {
		case modeOff:
			return
		case modeSlow:
			rest := delay - time.Since(began)
			if rest <= 0 {
				return
			}
			enough = time.After(rest)
		}
		select {
		case <-change:
		case <-enough:
			return
		}
	}
}

func (g *gate) set(mode string, delay time.Duration) error {
	switch mode {
	case modeStall:
		delay = 0
	case modeSlow:
		if delay <= 0 || delay > maxSlow {
			return fmt.Errorf("ms: expected more than 0 and at most %d with mode slow", maxSlow.Milliseconds())
		}
	case modeRelease:
		mode, delay = modeOff, 0
	default:
		return fmt.Errorf("mode %q: expected stall, slow or release", mode)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return fmt.Errorf("the node is shutting down")
	}
	g.mode, g.delay = mode, delay
	close(g.change)
	g.change = make(chan struct{})
	return nil
}

// close opens the gate for good: a fault must not outlive the wish to stop.
func (g *gate) close() {
	_ = g.set(modeRelease, 0)
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}

func (g *gate) state() gateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return gateState{g.mode, float64(g.delay.Microseconds()) / 1000}
}

// gatedLogs is a log store whose writes pass a gate, like a disk that hangs.
type gatedLogs struct {
	raft.LogStore
	gate *gate
}

func (l *gatedLogs) StoreLog(entry *raft.Log) error {
	l.gate.pass()
	return l.LogStore.StoreLog(entry)
}

func (l *gatedLogs) StoreLogs(entries []*raft.Log) error {
	l.gate.pass()
	return l.LogStore.StoreLogs(entries)
}

// IsMonotonic passes on what the store beneath says: raft asks for it by interface.
func (l *gatedLogs) IsMonotonic() bool {
	store, ok := l.LogStore.(raft.MonotonicLogStore)
	return ok && store.IsMonotonic()
}
