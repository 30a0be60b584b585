// Package observer streams what one hashicorp/raft node sees to the raft-exporter sidecar
// that runs beside it. It never blocks Raft, never grows without bound while the sidecar
// is away, reconnects by itself and stops cleanly.
package observer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// settings are the bounds of an Observer; tests make them small.
type settings struct {
	// channel is what raft may hand over before the pump runs; past it raft itself drops and counts.
	channel int
	// queue bounds what waits for the sidecar: at ten failed heartbeats a second, some minutes.
	queue int
	// writeTimeout is how long a sidecar that does not read is waited for.
	writeTimeout time.Duration
	// configurationRepeat is how often an unchanged configuration is told again.
	configurationRepeat time.Duration
	backoff             backoff
}

func defaults() settings {
	return settings{
		channel:             1024,
		queue:               4096,
		writeTimeout:        time.Second,
		configurationRepeat: 10 * time.Second,
		backoff:             backoff{first: 100 * time.Millisecond, last: 5 * time.Second},
	}
}

// Config says which node is observed and where its sidecar listens.
type Config struct {
	// NodeID is the server id of this node. Required.
	NodeID string
	// Address is the Raft address of this node as the other servers know it. Required.
	Address string
	// Socket is where the sidecar listens: "unix:/path" or "tcp:127.0.0.1:9642". Only
	// loopback addresses are taken, because the stream is not encrypted. The empty string
	// means DefaultSocket.
	Socket string
	// ConfigurationIndex tells the log index of the last committed configuration; it must
	// not block. Optional: hashicorp/raft up to 1.7.3 answers 0 itself, but hands the index
	// to an FSM that implements raft.ConfigurationStore.
	ConfigurationIndex func() uint64
	// Logger gets a record when the sidecar comes and goes. Optional: nil is silent.
	Logger *slog.Logger
}

// Observer is the running link between one Raft node and its sidecar.
type Observer struct {
	settings
	raft       *raft.Raft
	config     Config
	dial       func(context.Context) (conn, error)
	log        *slog.Logger
	registered *raft.Observer
	heartbeats *tally
	events     *queue
	pairing    pairing
	// droppedSent is how many losses the sidecar knows of; only the writer touches it.
	droppedSent uint64

	stop    context.CancelFunc
	once    sync.Once
	running sync.WaitGroup
}

// Start registers a non-blocking observer with r and begins to stream. It does not wait
// for the sidecar, and it is no error when there is none.
func Start(r *raft.Raft, c Config) (*Observer, error) {
	o, err := newObserver(r, c, defaults())
	if err != nil {
		return nil, err
	}
	o.start()
	return o, nil
}

func newObserver(r *raft.Raft, c Config, s settings) (*Observer, error) {
	if r == nil {
		return nil, errors.New("observer: the raft instance is nil")
	}
	if c.NodeID == "" {
		return nil, errors.New("observer: Config.NodeID is empty: expected the server id of this node")
	}
	if c.Address == "" {
		return nil, errors.New("observer: Config.Address is empty: expected the Raft address of this node")
	}
	dial, err := dialer(c.Socket)
	if err != nil {
		return nil, err
	}
	o := &Observer{settings: s, raft: r, config: c, dial: dial, log: c.Logger, events: newQueue(s.queue)}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func (o *Observer) start() {
	observations := make(chan raft.Observation, o.channel)
	o.registered = raft.NewObserver(observations, false, nil)
	o.raft.RegisterObserver(o.registered)
	o.heartbeats = Sink().attach()

	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.running.Add(2)
	go func() {
		defer o.running.Done()
		o.pump(ctx, observations)
	}()
	go func() {
		defer o.running.Done()
		o.run(ctx)
	}()
}

// Stop ends the stream and returns when every goroutine of the observer is gone. What is
// still queued is not sent. It may be called more than once, and before or after
// raft.Shutdown.
func (o *Observer) Stop() {
	o.once.Do(func() {
		o.stop()
		o.running.Wait()
		o.raft.DeregisterObserver(o.registered)
		Sink().detach(o.heartbeats)
	})
}

// pump stamps observations the moment they arrive. It waits for nobody, so raft's channel stays empty.
func (o *Observer) pump(ctx context.Context, observations <-chan raft.Observation) {
	for {
		select {
		case observation := <-observations:
			if e, ok := newEvent(observation.Data, time.Now()); ok {
				o.events.put(e)
			}
		case <-ctx.Done():
			return
		}
	}
}

// dropped counts every observation lost so far, in raft's channel or in our queue.
func (o *Observer) dropped() uint64 {
	return o.registered.GetNumDropped() + o.events.dropped()
}
