package observer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestBadConfigIsAnError(t *testing.T) {
	node := newTestNode(t, "n1")
	good := func() Config { return Config{NodeID: "n1", Address: "addr-n1", Socket: "unix:/nowhere/s"} }
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no id":           {func(c *Config) { c.NodeID = "" }, "Config.NodeID is empty"},
		"no address":      {func(c *Config) { c.Address = "" }, "Config.Address is empty"},
		"no scheme":       {func(c *Config) { c.Socket = "/run/s" }, "expected unix:/path or tcp:host:port"},
		"unknown scheme":  {func(c *Config) { c.Socket = "udp:127.0.0.1:1" }, "expected unix:/path or tcp:host:port"},
		"no path":         {func(c *Config) { c.Socket = "unix:" }, "expected a path"},
		"long path":       {func(c *Config) { c.Socket = "unix:/" + strings.Repeat("x", 107) }, "1 to 107 bytes"},
		"no port":         {func(c *Config) { c.Socket = "tcp:127.0.0.1" }, "expected tcp:host:port"},
		"port zero":       {func(c *Config) { c.Socket = "tcp:127.0.0.1:0" }, "port from 1 to 65535"},
		"named port":      {func(c *Config) { c.Socket = "tcp:127.0.0.1:http" }, "port from 1 to 65535"},
		"port too high":   {func(c *Config) { c.Socket = "tcp:127.0.0.1:65536" }, "port from 1 to 65535"},
		"every interface": {func(c *Config) { c.Socket = "tcp:0.0.0.0:9642" }, "loopback"},
		"empty host":      {func(c *Config) { c.Socket = "tcp::9642" }, "loopback"},
		"another host":    {func(c *Config) { c.Socket = "tcp:10.0.0.1:9642" }, "loopback"},
		"a name":          {func(c *Config) { c.Socket = "tcp:example.com:9642" }, "loopback"},
	} {
		t.Run(name, func(t *testing.T) {
			config := good()
			c.change(&config)
			o, err := Start(node.raft, config)
			if err == nil || o != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
		})
	}
	if _, err := Start(nil, good()); err == nil {
		t.Error("no error without a Raft")
	}
	expectNoGoroutines(t)
}

func TestGoodSockets(t *testing.T) {
	for _, socket := range []string{"", "unix:/run/s", "unix:relative", "tcp:127.0.0.1:9642", "tcp:127.9.9.9:1", "tcp:[::1]:65535", "tcp:localhost:9642"} {
		if _, err := dialer(socket); err != nil {
			t.Errorf("%q: %v", socket, err)
		}
	}
}

func TestNameThatDoesNotResolveToLoopbackIsRefused(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "10.0.0.1:1": false, "nonsense": false} {
		if err := onlyLocal("tcp4", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// The sidecar of these tests is away, there, or there without reading.
func TestStopLeavesNothingBehind(t *testing.T) {
	node := newCluster(t, 1)[0]
	absent := func(*testing.T) (string, func(*Observer)) { return "unix:/nowhere/s", nil }
	connected := func(t *testing.T) (string, func(*Observer)) { return newSidecar(t).socket, nil }
	stuckWrite := func(t *testing.T) (string, func(*Observer)) {
		s := listen(t, "unix", socketPath(t), false)
		return s.socket, func(o *Observer) {
			o.writeTimeout = time.Hour
			fill(o, 4000)
		}
	}
	stuckDial := func(*testing.T) (string, func(*Observer)) {
		return "unix:/nowhere/s", func(o *Observer) {
			o.dial = func(ctx context.Context) (conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}
	}
	for name, c := range map[string]struct {
		setup func(*testing.T) (string, func(*Observer))
		ready func(*Observer) bool
	}{
		"absent":    {absent, func(*Observer) bool { return len(ourGoroutines()) == 2 }},
		"connected": {connected, func(*Observer) bool { return len(ourGoroutines()) == 4 }},
		"stuck write": {stuckWrite, func(*Observer) bool {
			return strings.Contains(fmt.Sprint(ourGoroutines()), "poll.runtime_pollWait") && stuck()
		}},
		"stuck dial": {stuckDial, func(*Observer) bool {
			return strings.Contains(fmt.Sprint(ourGoroutines()), "TestStopLeavesNothingBehind")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			socket, change := c.setup(t)
			o := observe(t, node.raft, node.config(socket), change)
			eventually(t, "the observer is where it should be", func() bool { return c.ready(o) })
			began := time.Now()
			var both sync.WaitGroup
			for range 2 {
				both.Add(1)
				go func() {
					defer both.Done()
					o.Stop()
				}()
			}
			both.Wait()
			o.Stop()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Stop took %s", took)
			}
			expectNoGoroutines(t)
		})
	}
}

// stuck tells whether a write of an observer waits for its reader.
func stuck() bool {
	for _, stack := range ourGoroutines() {
		if strings.Contains(stack, "(*stream).write") && strings.Contains(stack, "waitWrite") {
			return true
		}
	}
	return false
}

// fill queues events that no socket buffer holds.
func fill(o *Observer, n int) {
	for range n {
		o.events.put(event{at: time.Now(), kind: "failed_heartbeat", peer: strings.Repeat("p", 1000)})
	}
}

func TestStopAfterRaftIsShutDown(t *testing.T) {
	node := newCluster(t, 1)[0]
	o := observe(t, node.raft, node.config(newSidecar(t).socket), nil)
	if err := node.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	o.Stop()
	expectNoGoroutines(t)
	if n := len(Sink().readers); n != 0 {
		t.Errorf("the sink still has %d readers", n)
	}
}

func TestStartAfterRaftIsShutDown(t *testing.T) {
	node := newCluster(t, 1)[0]
	if err := node.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	s := newSidecar(t)
	o, err := Start(node.raft, node.config(s.socket))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Stop()
	s.await(t, "stats", func(l line) bool { return l.is("stats") })
}

func TestRaftGoesOnWithoutASidecar(t *testing.T) {
	nodes := newCluster(t, 3)
	unread := listen(t, "unix", socketPath(t), false)
	for name, socket := range map[string]string{"nobody listens": "unix:/nowhere/s", "nobody reads": unread.socket} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, nodes[0].raft, nodes[0].config(socket), func(o *Observer) { o.writeTimeout = 50 * time.Millisecond })
			stop := make(chan struct{})
			var flood sync.WaitGroup
			flood.Add(1)
			go func() {
				defer flood.Done()
				for {
					select {
					case <-stop:
						return
					default:
						fill(o, 100)
					}
				}
			}()
			before := nodes[0].raft.AppliedIndex()
			for range 200 {
				nodes[0].apply(t)
			}
			eventually(t, "the queue has overflowed", func() bool { return o.dropped() > 10_000 })
			close(stop)
			flood.Wait()
			if socket == unread.socket {
				eventually(t, "a sidecar that does not read is left", func() bool { return unread.connected() > 1 })
			}
			if applied := nodes[0].raft.AppliedIndex() - before; applied < 200 {
				t.Errorf("%d applied", applied)
			}
			if n := len(o.events.ring); n != defaults().queue {
				t.Errorf("the queue has grown to %d", n)
			}
		})
	}
}

// The pump is what stands between Raft and everything slow.
func TestPumpTakesEverythingAndNeverWaits(t *testing.T) {
	node := newCluster(t, 1)[0]
	o := observe(t, node.raft, node.config("unix:/nowhere/s"), func(o *Observer) { o.events = newQueue(2) })
	before := o.dropped()
	observations := make(chan raft.Observation)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.pump(ctx, observations)
	}()
	for range 1000 {
		observations <- raft.Observation{Data: raft.Follower}
	}
	observations <- raft.Observation{Data: "a kind of the future"}
	cancel()
	<-done
	if lost := o.dropped() - before; lost < 998 {
		t.Errorf("%d dropped, want at least 998", lost)
	}
}

func TestRaftsOwnDropsCount(t *testing.T) {
	node := newCluster(t, 1)[0]
	o, err := newObserver(node.raft, node.config(""), defaults())
	if err != nil {
		t.Fatal(err)
	}
	// A channel that nobody empties, as when the pump gets no processor.
	o.registered = raft.NewObserver(make(chan raft.Observation), false, nil)
	node.raft.RegisterObserver(o.registered)
	defer node.raft.DeregisterObserver(o.registered)
	if err := node.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	if o.dropped() == 0 {
		t.Error("nothing counted")
	}
}

func TestEveryObservationConverts(t *testing.T) {
	at := time.Now()
	now := at.Add(250 * time.Millisecond)
	header := raft.RPCHeader{ID: []byte("n2"), Addr: []byte("addr-n2")}
	peer := raft.Server{ID: "n3", Address: "addr-n3", Suffrage: raft.Staging}
	for want, data := range map[string]any{
		`"kind":"failed_heartbeat","peer":"n2","last_contact_age_ms":1250`:                  raft.FailedHeartbeatObservation{PeerID: "n2", LastContact: at.Add(-time.Second)},
		`"kind":"failed_heartbeat","peer":"n2"`:                                             raft.FailedHeartbeatObservation{PeerID: "n2"},
		`"kind":"resumed_heartbeat","peer":"n2"`:                                            raft.ResumedHeartbeatObservation{PeerID: "n2"},
		`"kind":"leader","leader_id":"n1","leader_address":"addr-n1"`:                       raft.LeaderObservation{LeaderID: "n1", LeaderAddr: "addr-n1"},
		`"kind":"leader","leader_id":"","leader_address":""`:                                raft.LeaderObservation{},
		`"kind":"state","state":"Shutdown"`:                                                 raft.Shutdown,
		`"kind":"peer","peer":"n3","address":"addr-n3","suffrage":"Staging","removed":true`: raft.PeerObservation{Peer: peer, Removed: true},
		`"kind":"peer","peer":"<&>","address":"","suffrage":"Voter","removed":false`:        raft.PeerObservation{Peer: raft.Server{ID: "<&>"}},
		`"kind":"request_vote","term":7,"candidate":"n2"`:                                   raft.RequestVoteRequest{RPCHeader: header, Term: 7},
		`"kind":"request_vote","term":0,"candidate":""`:                                     raft.RequestVoteRequest{},
		`"kind":"request_pre_vote","term":18446744073709551615,"candidate":"n2"`:            raft.RequestPreVoteRequest{RPCHeader: header, Term: 1<<64 - 1},
	} {
		e, ok := newEvent(data, at)
		if !ok {
			t.Errorf("%T is not known", data)
			continue
		}
		var buffer bytes.Buffer
		if err := encode(&buffer, e.message(now)); err != nil {
			t.Fatal(err)
		}
		if whole := `{"type":"observation","age_ms":250,` + want + "}\n"; buffer.String() != whole {
			t.Errorf("%T:\n got %s\nwant %s", data, buffer.String(), whole)
		}
	}
	if e, ok := newEvent(42, at); ok {
		t.Errorf("an unknown kind became %v", e)
	}
}

func TestAgeIsNeverNegative(t *testing.T) {
	now := time.Now()
	if a := age(now.Add(time.Second), now); a != 0 {
		t.Errorf("%v", a)
	}
}

func TestMessageThatCannotBeEncoded(t *testing.T) {
	if err := encode(new(bytes.Buffer), func() {}); err == nil {
		t.Error("no error")
	}
}

func TestLibraryVersion(t *testing.T) {
	info := &debug.BuildInfo{Deps: []*debug.Module{
		{Path: "example.com/other", Version: "v9.0.0"},
		{Path: "example.com/raft", Version: "v1.2.3"},
		{Path: "example.com/fork", Version: "v1.0.0", Replace: &debug.Module{Version: "v1.0.1"}},
	}}
	for path, want := range map[string]string{"example.com/raft": "v1.2.3", "example.com/fork": "v1.0.1", "example.com/none": ""} {
		if got := moduleVersion(info, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestQueueDropsTheOldest(t *testing.T) {
	q := newQueue(3)
	for i := range 5 {
		q.put(event{term: uint64(i)})
	}
	if q.dropped() != 2 {
		t.Errorf("%d dropped", q.dropped())
	}
	for want := uint64(2); want < 5; want++ {
		if e, ok := q.take(); !ok || e.term != want {
			t.Errorf("took %v %v, want %d", e.term, ok, want)
		}
	}
	if _, ok := q.take(); ok {
		t.Error("took from an empty queue")
	}
}

func TestQueueTakesBackAsTheOldest(t *testing.T) {
	q := newQueue(2)
	q.put(event{term: 1})
	q.put(event{term: 2})
	first, _ := q.take()
	q.putBack(first)
	if e, _ := q.take(); e.term != 1 {
		t.Errorf("took %d", e.term)
	}
	q.put(event{term: 3})
	q.putBack(first)
	if e, _ := q.take(); e.term != 2 || q.dropped() != 1 {
		t.Errorf("took %d with %d dropped: a full queue must not make room for an older event", e.term, q.dropped())
	}
}

func TestQueueWakesUntilItIsEmpty(t *testing.T) {
	q := newQueue(2)
	q.put(event{})
	q.put(event{})
	<-q.ready
	q.take()
	q.wakeIfAny()
	<-q.ready
	q.take()
	q.wakeIfAny()
	select {
	case <-q.ready:
		t.Error("woken for nothing")
	default:
	}
}

func TestMoreThanOneBurstIsSent(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	observe(t, node.raft, node.config(s.socket), func(o *Observer) {
		for i := range 3 * eventBurst {
			o.events.put(event{at: time.Now(), kind: "request_vote", term: uint64(i)})
		}
	})
	s.await(t, "the last of them", func(l line) bool { return l.kind("request_vote") && l["term"] == float64(3*eventBurst-1) })
}

func TestBackoffGrowsToItsBoundAndStopsWithTheContext(t *testing.T) {
	b := backoff{first: time.Microsecond, last: 10 * time.Microsecond}
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if !b.wait(t.Context()) || b.next != want*time.Microsecond {
			t.Errorf("next is %s, want %dµs", b.next, want)
		}
	}
	b.reset()
	if b.wait(t.Context()); b.next != time.Microsecond {
		t.Errorf("next after reset is %s", b.next)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	slow := backoff{first: time.Hour, last: time.Hour}
	if slow.wait(ctx) {
		t.Error("waited although the context had ended")
	}
}

func TestConnectionThatLastedResetsTheBackoff(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	o := observe(t, node.raft, node.config(s.socket), func(o *Observer) {
		o.backoff = backoff{first: time.Nanosecond, last: time.Microsecond, next: time.Microsecond}
	})
	s.await(t, "two ticks", func(l line) bool { return l.is("stats") })
	s.hangUp()
	eventually(t, "it is back", func() bool { return s.connected() == 2 })
	o.Stop()
	if o.backoff.next != 0 {
		t.Errorf("next is %s, as if the connection had been refused", o.backoff.next)
	}
}

func TestComingAndGoingIsLoggedOnce(t *testing.T) {
	node := newCluster(t, 1)[0]
	path := socketPath(t)
	var log lockedBuffer
	config := node.config("unix:" + path)
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	attempts := make(chan struct{}, 1000)
	observe(t, node.raft, config, func(o *Observer) {
		dial := o.dial
		o.dial = func(ctx context.Context) (conn, error) {
			attempts <- struct{}{}
			return dial(ctx)
		}
	})
	for range 5 {
		<-attempts
	}
	s := listen(t, "unix", path, true)
	s.await(t, "stats", func(l line) bool { return l.is("stats") })
	if text := log.String(); strings.Count(text, "no sidecar") != 1 || strings.Count(text, "connected to its sidecar") != 1 {
		t.Errorf("the log says:\n%s", text)
	}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// brokenConn fails each write, or the deadline.
type brokenConn struct {
	closed   chan struct{}
	deadline error
	writes   int
	allowed  int
}

func (c *brokenConn) Read([]byte) (int, error) { <-c.closed; return 0, net.ErrClosed }
func (c *brokenConn) Write(data []byte) (int, error) {
	if c.writes++; c.writes > c.allowed {
		return 0, errors.New("broken")
	}
	return len(data), nil
}
func (c *brokenConn) SetWriteDeadline(time.Time) error { return c.deadline }
func (c *brokenConn) Close() error                     { close(c.closed); return nil }

func TestServeEndsAtTheFirstFailure(t *testing.T) {
	nodes := newCluster(t, 2)
	leader := nodes[0]
	o := observe(t, leader.raft, leader.config("unix:/nowhere/s"), nil)
	for allowed := range 8 {
		Sink().heartbeat(nodes[1].id, 1)
		c := &brokenConn{closed: make(chan struct{}), allowed: allowed}
		if err := o.serve(t.Context(), c); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("after %d writes: %v", allowed, err)
		}
	}
	want := errors.New("no deadline")
	c := &brokenConn{closed: make(chan struct{}), deadline: want}
	if err := o.serve(t.Context(), c); !errors.Is(err, want) {
		t.Errorf("%v", err)
	}
}

func TestPairingNeverGivesNewServersTheOldIndex(t *testing.T) {
	var p pairing
	one, two := []serverEntry{{ID: "n1"}}, []serverEntry{{ID: "n1"}, {ID: "n2"}}
	for i, c := range []struct {
		servers   []serverEntry
		committed uint64
		want      uint64
	}{
		{one, 0, 0}, {one, 1, 1}, {one, 1, 1},
		{two, 1, 0}, {two, 5, 5},
		{one, 5, 0}, {two, 5, 5}, {one, 9, 9},
	} {
		if got := p.index(c.servers, c.committed); got != c.want {
			t.Errorf("step %d: %d, want %d", i, got, c.want)
		}
	}
}
