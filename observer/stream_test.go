package observer

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestConnectionBeginsWithHelloConfigurationStats(t *testing.T) {
	nodes := newCluster(t, 3)
	follower := nodes[1]
	s := newSidecar(t)
	observe(t, follower.raft, follower.config(s.socket), nil)

	s.await(t, "stats", func(l line) bool { return l.is("stats") })
	lines := s.all()
	hello, configuration, stats := lines[0], lines[1], lines[2]

	for field, want := range map[string]any{
		"type": "hello", "age_ms": 0.0, "stream_version": 1.0, "node_id": follower.id,
		"address": "addr-" + follower.id, "heartbeat_timeout_ms": 100.0, "election_timeout_ms": 100.0,
	} {
		if hello[field] != want {
			t.Errorf("hello: %s is %v, want %v", field, hello[field], want)
		}
	}
	if version, _ := hello["library_version"].(string); version != "" && !strings.HasPrefix(version, "v1.") {
		t.Errorf("hello: library_version is %q", version)
	}
	if !configuration.is("configuration") || configuration["index"] != 0.0 || ids(configuration) != "n1/Voter n2/Voter n3/Voter" {
		t.Errorf("second line: %v", configuration)
	}
	if !stats.is("stats") || stats["leader_id"] != nodes[0].id || stats["leader_address"] != "addr-"+nodes[0].id ||
		stats["installing_snapshot"] != false {
		t.Errorf("third line: %v", stats)
	}
	inside := stats["stats"].(map[string]any)
	if inside["state"] != "Follower" || inside["num_peers"] != "2" || len(inside) != len(follower.raft.Stats()) {
		t.Errorf("stats: %v", inside)
	}
}

func TestStatsComeEachTick(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	observe(t, node.raft, node.config(s.socket), nil)
	for range 4 {
		s.await(t, "another stats", func(l line) bool { return l.is("stats") })
		s.forget()
	}
}

func TestLeaderTellsHeartbeatsOfItsPeers(t *testing.T) {
	nodes := newCluster(t, 3)
	s, silent := newSidecar(t), newSidecar(t)
	observe(t, nodes[0].raft, nodes[0].config(s.socket), nil)
	observe(t, nodes[1].raft, nodes[1].config(silent.socket), nil)

	for _, peer := range nodes[1:] {
		var entry map[string]any
		s.await(t, "a heartbeat of "+peer.id, func(l line) bool {
			peers, _ := l["peers"].([]any)
			for _, p := range peers {
				if e := p.(map[string]any); e["peer"] == peer.id {
					entry = e
				}
			}
			return entry != nil
		})
		count, sum, highest := entry["count"].(float64), entry["sum_ms"].(float64), entry["max_ms"].(float64)
		if count < 1 || sum < highest || entry["last_age_ms"].(float64) > 60_000 {
			t.Errorf("%v", entry)
		}
		buckets, total := entry["buckets"].([]any), 0.0
		for _, b := range buckets {
			total += b.(float64)
		}
		if len(buckets) != 15 || total != count {
			t.Errorf("%d buckets with %v in all, want 15 with %v", len(buckets), total, count)
		}
	}
	for _, l := range silent.all() {
		if l.is("heartbeats") {
			t.Errorf("a follower told heartbeats that it never sent: %v", l)
		}
	}
}

func TestHeartbeatsOfStrangersAreNotTold(t *testing.T) {
	nodes := newCluster(t, 2)
	s := newSidecar(t)
	o := observe(t, nodes[0].raft, nodes[0].config(s.socket), nil)
	Sink().heartbeat("stranger", 1)
	Sink().heartbeat(nodes[0].id, 1)
	taken := func() bool { Sink().mu.Lock(); defer Sink().mu.Unlock(); return o.heartbeats.peers["stranger"] == nil }
	eventually(t, "the tally is read", taken)
	s.forget()
	s.await(t, "two more ticks", func(l line) bool { return l.is("stats") })
	for _, l := range s.all() {
		if l.is("heartbeats") && (strings.Contains(fmt.Sprint(l), "stranger") || strings.Contains(fmt.Sprint(l), "peer:"+nodes[0].id)) {
			t.Errorf("%v", l)
		}
	}
}

func TestFailureAndRecoveryOfAPeerAreTold(t *testing.T) {
	nodes := newCluster(t, 3)
	leader, lost := nodes[0], nodes[1]
	s := newSidecar(t)
	observe(t, leader.raft, leader.config(s.socket), nil)

	leader.transport.Disconnect(lost.transport.LocalAddr())
	failed := s.await(t, "failed_heartbeat", func(l line) bool { return l.kind("failed_heartbeat") })
	if failed["peer"] != lost.id || failed["last_contact_age_ms"].(float64) < 0 || failed["age_ms"].(float64) < 0 {
		t.Errorf("%v", failed)
	}
	leader.transport.Connect(lost.transport.LocalAddr(), lost.transport)
	resumed := s.await(t, "resumed_heartbeat", func(l line) bool { return l.kind("resumed_heartbeat") })
	if resumed["peer"] != lost.id {
		t.Errorf("%v", resumed)
	}
}

func TestElectionIsTold(t *testing.T) {
	nodes := newCluster(t, 3)
	s := newSidecar(t)
	for _, n := range nodes {
		observe(t, n.raft, n.config(s.socket), nil)
	}
	eventually(t, "all connected", func() bool { return s.connected() == 3 })
	nodes[0].transport.DisconnectAll()
	nodes[1].transport.Disconnect(nodes[0].transport.LocalAddr())
	nodes[2].transport.Disconnect(nodes[0].transport.LocalAddr())

	s.await(t, "the leader lost", func(l line) bool { return l.kind("leader") && l["leader_id"] == "" && l["leader_address"] == "" })
	s.await(t, "a new leader", func(l line) bool { return l.kind("leader") && l["leader_id"] != "" && l["leader_id"] != nodes[0].id })
	for _, state := range []string{"Follower", "Candidate", "Leader"} {
		s.await(t, state, func(l line) bool { return l.kind("state") && l["state"] == state })
	}
	s.await(t, "a vote asked for", func(l line) bool {
		return l.kind("request_vote") && l["term"].(float64) > 1 && strings.HasPrefix(l["candidate"].(string), "n")
	})
	s.await(t, "a pre-vote asked for", func(l line) bool { return l.kind("request_pre_vote") && l["candidate"] != "" })
	s.await(t, "a peer", func(l line) bool { return l.kind("peer") && l["removed"] == false && l["suffrage"] == "Voter" })
}

func TestConfigurationIsToldOnChangeWithItsIndex(t *testing.T) {
	nodes := newCluster(t, 2)
	leader := nodes[0]
	s := newSidecar(t)
	config := leader.config(s.socket)
	config.ConfigurationIndex = leader.fsm.configurationIndex
	observe(t, leader.raft, config, nil)
	s.await(t, "the first index", func(l line) bool { return l.is("configuration") && l["index"] == 1.0 })

	learner := newTestNode(t, "n9")
	connect(append(nodes, learner)...)
	added := leader.raft.AddNonvoter("n9", "addr-n9", 0, deadline)
	if err := added.Error(); err != nil {
		t.Fatal(err)
	}
	s.await(t, "the new server under its index", func(l line) bool {
		if l["index"] == 1.0 && strings.Contains(ids(l), "n9") {
			t.Errorf("the new servers under the old index: %v", l)
		}
		return l["index"] == float64(added.Index()) && ids(l) == "n1/Voter n2/Voter n9/Nonvoter"
	})
	s.await(t, "the peer added", func(l line) bool {
		return l.kind("peer") && l["peer"] == "n9" && l["address"] == "addr-n9" && l["removed"] == false
	})
	s.forget()
	if err := leader.raft.RemoveServer("n9", 0, deadline).Error(); err != nil {
		t.Fatal(err)
	}
	s.await(t, "the old servers", func(l line) bool { return l["index"] != 0.0 && ids(l) == "n1/Voter n2/Voter" })
	s.await(t, "the peer removed", func(l line) bool { return l.kind("peer") && l["peer"] == "n9" && l["removed"] == true })
}

func TestUnchangedConfigurationIsToldNowAndThen(t *testing.T) {
	node := newCluster(t, 1)[0]
	rare, often := newSidecar(t), newSidecar(t)
	observe(t, node.raft, node.config(rare.socket), nil)
	observe(t, node.raft, node.config(often.socket), func(o *Observer) { o.configurationRepeat = time.Millisecond })
	for range 4 {
		often.await(t, "the same configuration again", func(l line) bool { return l.is("configuration") })
		often.forget()
	}
	if n := strings.Count(fmt.Sprint(rare.all()), "type:configuration"); n != 1 {
		t.Errorf("%d configurations in less than the time of repeating", n)
	}
}

func TestTCPOnLoopback(t *testing.T) {
	node := newCluster(t, 1)[0]
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		s := listen(t, "tcp", address, true)
		_, port, _ := net.SplitHostPort(s.listener.Addr().String())
		host, _, _ := net.SplitHostPort(address)
		observe(t, node.raft, node.config("tcp:"+net.JoinHostPort(host, port)), nil)
		s.await(t, "stats over tcp", func(l line) bool { return l.is("stats") })
	}
}

func TestReconnectsAfterTheSidecarRestarts(t *testing.T) {
	nodes := newCluster(t, 2)
	leader := nodes[0]
	path := socketPath(t)
	s := listen(t, "unix", path, true)
	o := observe(t, leader.raft, leader.config(s.socket), nil)
	s.await(t, "stats", func(l line) bool { return l.is("stats") })
	s.close()
	os.Remove(path)
	// What happens meanwhile is told afterwards, with its age.
	o.events.put(event{at: time.Now().Add(-time.Minute), kind: "state", state: "Marked"})

	again := listen(t, "unix", path, true)
	marked := again.await(t, "the event of the time between", func(l line) bool { return l.kind("state") && l["state"] == "Marked" })
	if age := marked["age_ms"].(float64); age < 60_000 || age > 120_000 {
		t.Errorf("age_ms is %v, want that of the event", age)
	}
	if first := again.all()[0]; !first.is("hello") {
		t.Errorf("the new connection begins with %v", first)
	}
}

func TestSidecarThatHangsUpIsNoticedWhileIdle(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	observe(t, node.raft, node.config(s.socket), nil)
	for n := 1; n <= 3; n++ {
		eventually(t, "a connection", func() bool { return s.connected() >= n })
		s.hangUp()
	}
}

func TestNothingIsLostWhenAWriteFails(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	o := observe(t, node.raft, node.config(s.socket), func(o *Observer) {
		dial, failures := o.dial, 0
		o.dial = func(ctx context.Context) (conn, error) {
			c, err := dial(ctx)
			if err == nil && failures < 3 {
				failures++
				return &failingConn{conn: c}, nil
			}
			return c, err
		}
		for i := range 5 {
			o.events.put(event{at: time.Now(), kind: "failed_heartbeat", peer: fmt.Sprintf("p%d", i)})
		}
	})
	s.await(t, "the last event", func(l line) bool { return l["peer"] == "p4" })
	var got []any
	for _, l := range s.all() {
		if l.kind("failed_heartbeat") {
			got = append(got, l["peer"])
		}
	}
	if fmt.Sprint(got) != "[p0 p1 p2 p3 p4]" || o.dropped() != 0 {
		t.Errorf("got %v, %d dropped", got, o.dropped())
	}
}

// failingConn takes what opens a connection, and fails at the first observation.
type failingConn struct{ conn }

func (f *failingConn) Write(data []byte) (int, error) {
	if strings.Contains(string(data), `"observation"`) {
		return 0, net.ErrClosed
	}
	return f.conn.Write(data)
}

func TestDropsAreToldOnce(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	observe(t, node.raft, node.config(s.socket), func(o *Observer) {
		o.events = newQueue(4)
		for range 7 {
			o.events.put(event{at: time.Now(), kind: "state", state: "Follower"})
		}
	})
	dropped := s.await(t, "dropped", func(l line) bool { return l.is("dropped") })
	if dropped["count"] != 3.0 {
		t.Errorf("%v", dropped)
	}
	s.forget()
	for range 2 {
		s.await(t, "a tick", func(l line) bool { return l.is("stats") })
	}
	if strings.Contains(fmt.Sprint(s.all()), "type:dropped") {
		t.Error("told again although nothing more was dropped")
	}
}

func TestOverlongMessageIsLeftOut(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	o := observe(t, node.raft, node.config(s.socket), nil)
	o.events.put(event{at: time.Now(), kind: "state", state: strings.Repeat("x", maxLine)})
	o.events.put(event{at: time.Now(), kind: "state", state: "After"})
	s.await(t, "what comes after", func(l line) bool { return l["state"] == "After" })
	for _, l := range s.all() {
		if l.is("malformed") || len(fmt.Sprint(l["state"])) > 100 {
			t.Errorf("the overlong line went out")
		}
	}
	if s.connected() != 1 {
		t.Errorf("the stream broke: %d connections", s.connected())
	}
}

func TestNoStreamWithoutHello(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	config := node.config(s.socket)
	config.NodeID = strings.Repeat("x", maxLine)
	observe(t, node.raft, config, nil)
	eventually(t, "some attempts", func() bool { return s.connected() > 2 })
	if lines := s.all(); len(lines) > 0 {
		t.Errorf("lines without hello: %v", lines)
	}
}

func TestInstallingSnapshotIsOfNodesThatCanReceiveOne(t *testing.T) {
	nodes := newCluster(t, 2)
	leaderSide, followerSide := newSidecar(t), newSidecar(t)
	observe(t, nodes[0].raft, nodes[0].config(leaderSide.socket), nil)
	observe(t, nodes[1].raft, nodes[1].config(followerSide.socket), nil)
	Sink().install(1)
	t.Cleanup(func() { Sink().install(-1) })
	followerSide.await(t, "installing", func(l line) bool { return l["installing_snapshot"] == true })
	leaderSide.forget()
	leaderSide.await(t, "not installing", func(l line) bool { return l.is("stats") && l["installing_snapshot"] == false })
}

func TestStreamOutlivesRaft(t *testing.T) {
	node := newCluster(t, 1)[0]
	s := newSidecar(t)
	observe(t, node.raft, node.config(s.socket), nil)
	s.await(t, "stats", func(l line) bool { return l.is("stats") })
	if err := node.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	s.await(t, "the shutdown", func(l line) bool { return l.kind("state") && l["state"] == "Shutdown" })
	s.await(t, "stats of a Raft that is shut down", func(l line) bool {
		stats, _ := l["stats"].(map[string]any)
		return stats["state"] == raft.Shutdown.String()
	})
}
