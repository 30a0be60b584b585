package observer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	maxTick = time.Second
	// eventBurst is how many observations are written before the tick gets its turn.
	eventBurst = 256
	// heartbeatsPerLine keeps a line under the limit of the contract, whatever the number of peers.
	heartbeatsPerLine = 128
)

// run keeps a connection to the sidecar until ctx ends.
func (o *Observer) run(ctx context.Context) {
	reported := false
	for {
		c, err := o.dial(ctx)
		if err == nil {
			began := time.Now()
			o.log.Info("observer connected to its sidecar")
			reported = false
			err = o.serve(ctx, c)
			// A sidecar that hangs up at once is not asked at once again.
			if time.Since(began) > o.backoff.last {
				o.backoff.reset()
			}
		}
		if ctx.Err() != nil {
			return
		}
		if !reported {
			o.log.Warn("observer has no sidecar, trying again", "error", err)
			reported = true
		}
		if !o.backoff.wait(ctx) {
			return
		}
	}
}

// serve writes to one connection until it fails or ctx ends, and closes it.
func (o *Observer) serve(ctx context.Context, c conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var watchers sync.WaitGroup
	watchers.Add(2)
	go func() {
		defer watchers.Done()
		// Closing is what frees a write that is stuck.
		<-ctx.Done()
		c.Close()
	}()
	go func() {
		defer watchers.Done()
		// The sidecar never writes: this returns when it hangs up, even if we are idle.
		_, _ = io.Copy(io.Discard, c)
		cancel(errors.New("the sidecar closed the connection"))
	}()
	s := &stream{o: o, c: c}
	err := s.run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(err)
	watchers.Wait()
	return err
}

// stream is the state of one connection.
type stream struct {
	o      *Observer
	c      conn
	buffer bytes.Buffer

	wasLeader bool
	sent      []serverEntry
	sentIndex uint64
	sentAt    time.Time
}

func (s *stream) run(ctx context.Context) error {
	if err := s.hello(); err != nil {
		return err
	}
	if err := s.configuration(); err != nil {
		return err
	}
	if err := s.stats(); err != nil {
		return err
	}
	tick := time.NewTimer(s.tick())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.o.events.ready:
			if err := s.events(); err != nil {
				return err
			}
		case <-tick.C:
			for _, send := range []func() error{s.configuration, s.stats, s.heartbeats, s.dropped} {
				if err := send(); err != nil {
					return err
				}
			}
			tick.Reset(s.tick())
		}
	}
}

// tick is T of the contract; the timeout can be reloaded while Raft runs.
func (s *stream) tick() time.Duration {
	return min(s.o.raft.ReloadableConfig().HeartbeatTimeout, maxTick)
}

// errTooLong tells a message that no attempt will ever get through.
var errTooLong = errors.New("message over the line limit")

func (s *stream) write(message any) error {
	if err := encode(&s.buffer, message); err != nil {
		s.o.log.Error("observer left a message out", "error", err)
		return errTooLong
	}
	if err := s.c.SetWriteDeadline(time.Now().Add(s.o.writeTimeout)); err != nil {
		return err
	}
	_, err := s.c.Write(s.buffer.Bytes())
	return err
}

// writeOptional leaves a message out when it is too long: the stream goes on without it.
func (s *stream) writeOptional(message any) error {
	if err := s.write(message); !errors.Is(err, errTooLong) {
		return err
	}
	return nil
}

func (s *stream) hello() error {
	timeouts := s.o.raft.ReloadableConfig()
	return s.write(helloMessage{
		header:             header{Type: "hello"},
		StreamVersion:      streamVersion,
		NodeID:             s.o.config.NodeID,
		Address:            s.o.config.Address,
		HeartbeatTimeoutMS: milliseconds(timeouts.HeartbeatTimeout),
		ElectionTimeoutMS:  milliseconds(timeouts.ElectionTimeout),
		LibraryVersion:     libraryVersion(),
	})
}

func (s *stream) stats() error {
	state := s.o.raft.State()
	address, id := s.o.raft.LeaderWithID()
	return s.writeOptional(statsMessage{
		header:        header{Type: "stats"},
		Stats:         s.o.raft.Stats(),
		LeaderID:      string(id),
		LeaderAddress: string(address),
		// The sink is process-wide: only a node that can receive a snapshot may claim it.
		InstallingSnapshot: state != raft.Leader && state != raft.Shutdown && Sink().installingSnapshot(),
	})
}

// servers is the latest configuration that Raft uses, and the index that raft knows for it.
func (s *stream) servers() ([]serverEntry, uint64, error) {
	future := s.o.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, 0, err
	}
	servers := make([]serverEntry, 0, len(future.Configuration().Servers))
	for _, server := range future.Configuration().Servers {
		servers = append(servers, serverEntry{string(server.ID), string(server.Address), server.Suffrage.String()})
	}
	return servers, future.Index(), nil
}

// configuration is sent when it differs from what was sent, and now and then.
func (s *stream) configuration() error {
	servers, index, err := s.servers()
	if err != nil {
		// An empty configuration would tell the sidecar that everybody has left.
		return nil
	}
	if index == 0 && s.o.config.ConfigurationIndex != nil {
		index = s.o.pairing.index(servers, s.o.config.ConfigurationIndex())
	}
	now := time.Now()
	same := index == s.sentIndex && slices.Equal(servers, s.sent)
	if !s.sentAt.IsZero() && same && now.Sub(s.sentAt) < s.o.configurationRepeat {
		return nil
	}
	if err := s.writeOptional(configurationMessage{header{Type: "configuration"}, index, servers}); err != nil {
		return err
	}
	s.sent, s.sentIndex, s.sentAt = servers, index, now
	return nil
}

// heartbeats are told by the leader only: the sink of a process may see those of another node's Raft.
func (s *stream) heartbeats() error {
	taken := Sink().take(s.o.heartbeats)
	isLeader := s.o.raft.State() == raft.Leader
	tell := isLeader || s.wasLeader
	s.wasLeader = isLeader
	if !tell {
		return nil
	}
	var entries []heartbeatEntry
	now := time.Now()
	for _, server := range s.sent {
		h, ok := taken[server.ID]
		if !ok || server.ID == s.o.config.NodeID {
			continue
		}
		entries = append(entries, heartbeatEntry{
			Peer: server.ID, Count: h.count, LastAgeMS: age(h.last, now),
			SumMS: h.sum, MaxMS: h.max, Buckets: h.buckets[:],
		})
	}
	for chunk := range slices.Chunk(entries, heartbeatsPerLine) {
		if err := s.writeOptional(heartbeatsMessage{header{Type: "heartbeats"}, chunk}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) dropped() error {
	total := s.o.dropped()
	if total == s.o.droppedSent {
		return nil
	}
	if err := s.write(droppedMessage{header{Type: "dropped"}, total - s.o.droppedSent}); err != nil {
		return err
	}
	s.o.droppedSent = total
	return nil
}

// events writes what is queued, oldest first; one that fails goes back for the next connection.
func (s *stream) events() error {
	changed := false
	for range eventBurst {
		e, ok := s.o.events.take()
		if !ok {
			break
		}
		if err := s.writeOptional(e.message(time.Now())); err != nil {
			s.o.events.putBack(e)
			return err
		}
		changed = changed || e.membership()
	}
	s.o.events.wakeIfAny()
	if changed {
		return s.configuration()
	}
	return nil
}
