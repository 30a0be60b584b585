package observer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	metrics "github.com/hashicorp/go-metrics/compat"
	"github.com/hashicorp/raft"
)

// deadline is how long a test waits for what must happen; nothing waits that long when all is well.
const deadline = 15 * time.Second

func TestMain(m *testing.M) {
	conf := metrics.DefaultConfig("service")
	conf.EnableHostname, conf.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(conf, metrics.FanoutSink{&metrics.BlackholeSink{}, Sink()}); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// eventually waits for a condition that nothing signals.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", deadline, what)
		}
	}
}

// testFSM counts what is applied, and knows the configuration index.
type testFSM struct {
	mu      sync.Mutex
	applied int
	index   uint64
}

func (f *testFSM) Apply(*raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied++
	return nil
}

func (f *testFSM) StoreConfiguration(index uint64, _ raft.Configuration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = index
}

func (f *testFSM) configurationIndex() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index
}

func (f *testFSM) Snapshot() (raft.FSMSnapshot, error) { return nil, fmt.Errorf("not in this test") }
func (f *testFSM) Restore(source io.ReadCloser) error  { return source.Close() }

type testNode struct {
	id        string
	raft      *raft.Raft
	fsm       *testFSM
	transport *raft.InmemTransport
}

func newTestNode(t *testing.T, id string) *testNode {
	t.Helper()
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(id)
	config.HeartbeatTimeout = 100 * time.Millisecond
	config.ElectionTimeout = 100 * time.Millisecond
	config.LeaderLeaseTimeout = 50 * time.Millisecond
	config.Logger = hclog.NewNullLogger()
	_, transport := raft.NewInmemTransport(raft.ServerAddress("addr-" + id))
	n := &testNode{id: id, fsm: &testFSM{}, transport: transport}
	store := raft.NewInmemStore()
	var err error
	n.raft, err = raft.NewRaft(config, n.fsm, store, store, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.raft.Shutdown().Error() })
	return n
}

// newCluster gives n1..nN with a leader, which comes first.
func newCluster(t *testing.T, size int) []*testNode {
	t.Helper()
	var nodes []*testNode
	var servers []raft.Server
	for i := range size {
		n := newTestNode(t, fmt.Sprintf("n%d", i+1))
		nodes = append(nodes, n)
		servers = append(servers, raft.Server{ID: raft.ServerID(n.id), Address: n.transport.LocalAddr()})
	}
	connect(nodes...)
	if err := nodes[0].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every node knows one leader", func() bool {
		leader, _ := nodes[0].raft.LeaderWithID()
		for i, n := range nodes {
			if address, _ := n.raft.LeaderWithID(); address != leader || address == "" {
				return false
			}
			if n.raft.State() == raft.Leader {
				nodes[0], nodes[i] = nodes[i], nodes[0]
			}
		}
		return nodes[0].raft.State() == raft.Leader
	})
	return nodes
}

func connect(nodes ...*testNode) {
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				a.transport.Connect(b.transport.LocalAddr(), b.transport)
			}
		}
	}
}

func (n *testNode) config(socket string) Config {
	return Config{NodeID: n.id, Address: string(n.transport.LocalAddr()), Socket: socket}
}

func (n *testNode) apply(t *testing.T) {
	t.Helper()
	if err := n.raft.Apply([]byte("x"), deadline).Error(); err != nil {
		t.Fatal(err)
	}
}

// observe starts an Observer for the length of the test.
func observe(t *testing.T, r *raft.Raft, c Config, change func(*Observer)) *Observer {
	t.Helper()
	s := defaults()
	s.backoff = backoff{first: 2 * time.Millisecond, last: 20 * time.Millisecond}
	o, err := newObserver(r, c, s)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(o)
	}
	o.start()
	t.Cleanup(o.Stop)
	return o
}

type line map[string]any

func (l line) is(messageType string) bool { return l["type"] == messageType }
func (l line) kind(kind string) bool      { return l.is("observation") && l["kind"] == kind }

// sidecar listens as the real one does, and keeps every line.
type sidecar struct {
	socket   string
	listener net.Listener

	mu          sync.Mutex
	lines       []line
	raw         []string
	conns       []net.Conn
	connections int
	arrived     chan struct{}
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "observer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func newSidecar(t *testing.T) *sidecar {
	t.Helper()
	return listen(t, "unix", socketPath(t), true)
}

func listen(t *testing.T, network, address string, read bool) *sidecar {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecar{
		socket: network + ":" + listener.Addr().String(), listener: listener,
		arrived: make(chan struct{}, 1),
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.connections++
			s.mu.Unlock()
			if read {
				go s.read(c)
			}
		}
	}()
	t.Cleanup(s.close)
	return s
}

func (s *sidecar) read(c net.Conn) {
	scanner := bufio.NewScanner(c)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			l = line{"type": "malformed", "text": scanner.Text()}
		}
		s.mu.Lock()
		s.lines = append(s.lines, l)
		s.raw = append(s.raw, scanner.Text())
		s.mu.Unlock()
		select {
		case s.arrived <- struct{}{}:
		default:
		}
	}
}

// hangUp closes what is connected and goes on listening.
func (s *sidecar) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *sidecar) close() {
	s.listener.Close()
	s.hangUp()
}

func (s *sidecar) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// await gives the first line, of those that came or come, that fits.
func (s *sidecar) await(t *testing.T, what string, fits func(line) bool) line {
	t.Helper()
	timeout := time.After(deadline)
	for seen := 0; ; {
		s.mu.Lock()
		lines := s.lines[seen:]
		s.mu.Unlock()
		for _, l := range lines {
			seen++
			if fits(l) {
				return l
			}
		}
		select {
		case <-s.arrived:
		case <-timeout:
			t.Fatalf("not within %s: %s; the sidecar has %v", deadline, what, s.all())
		}
	}
}

// forget drops what came, so that await sees only what comes.
func (s *sidecar) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines, s.raw = nil, nil
}

func (s *sidecar) all() []line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]line(nil), s.lines...)
}

// ids are the servers of a configuration, as id/suffrage.
func ids(l line) string {
	var out []string
	servers, _ := l["servers"].([]any)
	for _, s := range servers {
		server := s.(map[string]any)
		out = append(out, fmt.Sprintf("%s/%s", server["id"], server["suffrage"]))
	}
	return strings.Join(out, " ")
}

// ourGoroutines lists the goroutines that run code of an Observer.
func ourGoroutines() []string {
	buffer := make([]byte, 1<<22)
	buffer = buffer[:runtime.Stack(buffer, true)]
	var ours []string
	for _, stack := range strings.Split(string(buffer), "\n\n") {
		if strings.Contains(stack, "observer.(*Observer).") || strings.Contains(stack, "observer.(*stream).") {
			ours = append(ours, stack)
		}
	}
	return ours
}

func expectNoGoroutines(t *testing.T) {
	t.Helper()
	// A goroutine is still listed for a moment after it has reported that it is done.
	eventually(t, "no goroutine of an observer is left", func() bool { return len(ourGoroutines()) == 0 })
}
