package observer

import "sync"

// queue is a bounded ring between the pump, which never waits, and the writer. When it is
// full the oldest event goes: what happened last says more about the cluster.
type queue struct {
	// ready holds at most one token: there may be something to take.
	ready chan struct{}

	mu    sync.Mutex
	ring  []event
	first int
	count int
	lost  uint64
}

func newQueue(size int) *queue {
	return &queue{ready: make(chan struct{}, 1), ring: make([]event, size)}
}

func (q *queue) put(e event) {
	q.mu.Lock()
	if q.count == len(q.ring) {
		q.first = (q.first + 1) % len(q.ring)
		q.count--
		q.lost++
	}
	q.ring[(q.first+q.count)%len(q.ring)] = e
	q.count++
	q.mu.Unlock()
	q.wake()
}

// wake lets the writer look again.
func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// wakeIfAny keeps the token alive when a reader leaves something behind.
func (q *queue) wakeIfAny() {
	q.mu.Lock()
	left := q.count
	q.mu.Unlock()
	if left > 0 {
		q.wake()
	}
}

func (q *queue) take() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return event{}, false
	}
	e := q.ring[q.first]
	q.ring[q.first] = event{}
	q.first = (q.first + 1) % len(q.ring)
	q.count--
	return e, true
}

// putBack returns an event that could not be written, as the oldest one; it is lost if the queue has filled up.
func (q *queue) putBack(e event) {
	q.mu.Lock()
	if q.count == len(q.ring) {
		q.lost++
	} else {
		q.first = (q.first + len(q.ring) - 1) % len(q.ring)
		q.ring[q.first] = e
		q.count++
	}
	q.mu.Unlock()
	q.wake()
}

func (q *queue) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}
