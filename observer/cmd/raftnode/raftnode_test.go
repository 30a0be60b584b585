package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const deadline = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", deadline, what)
		}
	}
}

// nextPort runs below the ports that the kernel hands out: one of those could be gone before it is used.
var nextPort atomic.Uint32

func init() { nextPort.Store(20000 + rand.Uint32N(10000)) }

// freeAddress gives an address that nobody listens on, and no other caller gets.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", nextPort.Add(1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

func flagsFor(id, raftAddress string, more ...string) []string {
	return append([]string{
		"-id", id, "-raft", raftAddress, "-http", "127.0.0.1:0", "-fault", "127.0.0.1:0", "-log-level", "off",
		"-heartbeat-timeout", "200ms", "-election-timeout", "200ms", "-leader-lease-timeout", "100ms",
		"-transport-timeout", "1s",
	}, more...)
}

// start runs a node in this process.
func start(t *testing.T, args ...string) *node {
	t.Helper()
	o, err := parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	n, err := startNode(o, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.stop() })
	return n
}

// startCluster bootstraps n1..n3, and gives the leader first.
func startCluster(t *testing.T) []*node {
	t.Helper()
	var addresses, peers []string
	for i := range 3 {
		addresses = append(addresses, freeAddress(t))
		peers = append(peers, "-peer", fmt.Sprintf("n%d=%s", i+1, addresses[i]))
	}
	var nodes []*node
	for i, address := range addresses {
		nodes = append(nodes, start(t, flagsFor(fmt.Sprintf("n%d", i+1), address, append(peers, "-bootstrap")...)...))
	}
	return leaderFirst(t, nodes)
}

func leaderFirst(t *testing.T, nodes []*node) []*node {
	t.Helper()
	eventually(t, "all know one leader and where it answers", func() bool {
		for i, n := range nodes {
			if n.raft.State() == raft.Leader {
				nodes[0], nodes[i] = nodes[i], nodes[0]
			}
		}
		for _, n := range nodes {
			_, id := n.raft.LeaderWithID()
			if string(id) != nodes[0].options.id || n.kv.httpAddress(string(id)) != nodes[0].httpAddr {
				return false
			}
		}
		return true
	})
	return nodes
}

func startSingle(t *testing.T, more ...string) *node {
	t.Helper()
	address := freeAddress(t)
	more = append(more, "-bootstrap", "-peer", "n1="+address)
	return leaderFirst(t, []*node{start(t, flagsFor("n1", address, more...)...)})[0]
}

// call makes one request and gives the status and the JSON of the answer.
func call(t *testing.T, method, address, path, body string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := joinClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: not JSON: %v", method, path, err)
	}
	if (response.StatusCode == http.StatusOK) == (answer["error"] != nil) {
		t.Errorf("%s %s: status %d with %v", method, path, response.StatusCode, answer)
	}
	return response.StatusCode, answer
}

func expect(t *testing.T, want int, method, address, path, body string) map[string]any {
	t.Helper()
	status, answer := call(t, method, address, path, body)
	if status != want {
		t.Fatalf("%s %s: status %d (%v), want %d", method, path, status, answer, want)
	}
	return answer
}

func TestWritesReplicateAndFollowersNameTheLeader(t *testing.T) {
	nodes := startCluster(t)
	leader, follower := nodes[0], nodes[1]
	put := expect(t, 200, "PUT", leader.httpAddr, "/kv/colour", "green")
	if put["key"] != "colour" || put["index"].(float64) < 3 {
		t.Errorf("%v", put)
	}
	for _, n := range nodes {
		eventually(t, "the value everywhere", func() bool {
			_, answer := call(t, "GET", n.httpAddr, "/kv/colour", "")
			return answer["value"] == "green"
		})
		if l := expect(t, 200, "GET", n.httpAddr, "/leader", ""); l["id"] != leader.options.id ||
			l["address"] != leader.options.raft || l["is_leader"] != (n == leader) {
			t.Errorf("%v", l)
		}
		if s := expect(t, 200, "GET", n.httpAddr, "/stats", ""); s["leader_id"] != leader.options.id || s["num_peers"] != "2" {
			t.Errorf("%v", s)
		}
	}
	for _, request := range [][3]string{
		{"PUT", "/kv/colour", "red"}, {"POST", "/transfer", ""},
		{"POST", "/join", `{"id":"n9","address":"127.0.0.1:1"}`}, {"POST", "/remove", `{"id":"n1"}`},
	} {
		refused := expect(t, 421, request[0], follower.httpAddr, request[1], request[2])
		if refused["leader_id"] != leader.options.id || refused["leader_address"] != leader.options.raft ||
			refused["leader_http"] != leader.httpAddr {
			t.Errorf("%v: %v", request, refused)
		}
	}
	expect(t, 404, "GET", leader.httpAddr, "/kv/none", "")
}

func TestJoinThroughAFollowerAndRemove(t *testing.T) {
	nodes := startCluster(t)
	leader, follower := nodes[0], nodes[1]
	learner := start(t, flagsFor("n4", freeAddress(t), "-join", "http://"+follower.httpAddr+"/", "-nonvoter")...)
	suffrage := func(n *node, id string) string {
		_, answer := call(t, "GET", n.httpAddr, "/configuration", "")
		for _, s := range answer["servers"].([]any) {
			if server := s.(map[string]any); server["id"] == id {
				return server["suffrage"].(string)
			}
		}
		return ""
	}
	eventually(t, "n4 is in", func() bool { return suffrage(learner, "n4") == "Nonvoter" })
	index := func() float64 { return expect(t, 200, "GET", leader.httpAddr, "/configuration", "")["index"].(float64) }
	eventually(t, "the index is known", func() bool { return index() > 1 })
	before := index()
	body := fmt.Sprintf(`{"id":"n4","address":%q,"nonvoter":true}`, learner.options.raft)
	expect(t, 200, "POST", leader.httpAddr, "/join", body)
	if index() != before {
		t.Error("joining twice made another entry")
	}
	expect(t, 200, "POST", leader.httpAddr, "/join", strings.Replace(body, "true", "false", 1))
	eventually(t, "n4 is a voter", func() bool { return suffrage(follower, "n4") == "Voter" && index() > before })

	expect(t, 200, "POST", leader.httpAddr, "/remove", `{"id":"n4"}`)
	if s := suffrage(leader, "n4"); s != "" {
		t.Errorf("n4 is still %s", s)
	}
	expect(t, 404, "POST", leader.httpAddr, "/remove", `{"id":"n4"}`)
}

func TestTransferMovesTheLeadership(t *testing.T) {
	nodes := startCluster(t)
	old := nodes[0]
	expect(t, 200, "POST", old.httpAddr, "/transfer", "")
	eventually(t, "another leader", func() bool {
		answer := expect(t, 200, "GET", old.httpAddr, "/leader", "")
		return answer["is_leader"] == false && answer["id"] != "" && answer["id"] != old.options.id
	})
	leaderFirst(t, nodes)
}

func TestObservationsAreRecordedInOrder(t *testing.T) {
	nodes := startCluster(t)
	leader, lost := nodes[0], nodes[1]
	if err := lost.stop(); err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	since := 0.0
	kinds := make(map[any]map[string]any)
	eventually(t, "the failed heartbeat", func() bool {
		answer := expect(t, 200, "GET", leader.httpAddr, fmt.Sprintf("/observations?since=%d", int(since)), "")
		since = answer["next"].(float64)
		for _, e := range answer["events"].([]any) {
			event := e.(map[string]any)
			all = append(all, event)
			kinds[event["kind"]] = event
		}
		return kinds["failed_heartbeat"] != nil
	})
	for i, event := range all {
		if event["seq"] != float64(i+1) || event["unix_ms"].(float64) < 1.6e12 {
			t.Errorf("event %d is %v", i, event)
		}
	}
	if kinds["failed_heartbeat"]["peer"] != lost.options.id || kinds["state"]["state"] != "Leader" ||
		kinds["leader"]["leader_id"] != leader.options.id || kinds["peer"]["removed"] != false {
		t.Errorf("%v", kinds)
	}
	expect(t, 400, "GET", leader.httpAddr, "/observations?since=-1", "")
}

func TestRecorderKeepsTheLast(t *testing.T) {
	rec := &recorder{registered: raft.NewObserver(nil, false, nil), next: 1}
	for range recorderSize + 5 {
		rec.add(raft.ResumedHeartbeatObservation{PeerID: "n2"}, time.Now())
	}
	rec.add(raft.RequestVoteRequest{Term: 3, RPCHeader: raft.RPCHeader{ID: []byte("n3")}}, time.Now())
	rec.add(raft.RequestPreVoteRequest{Term: 4}, time.Now())
	rec.add(raft.FailedHeartbeatObservation{PeerID: "n2", LastContact: time.Now()}, time.Now())
	rec.add("unknown", time.Now())
	out := rec.since(0)
	if len(out.Events) != recorderSize || out.Dropped != 8 || out.Next != recorderSize+9 || out.Events[0].Seq != 9 {
		t.Errorf("%d events from %d, %d dropped, next %d", len(out.Events), out.Events[0].Seq, out.Dropped, out.Next)
	}
	tail := rec.since(out.Next - 3).Events
	if tail[0].Candidate != "n3" || tail[0].Term != 3 || tail[1].Kind != "request_pre_vote" || tail[2].LastContactMS == nil {
		t.Errorf("%+v", tail)
	}
	if more := rec.since(out.Next + 100); len(more.Events) != 0 {
		t.Errorf("%d events of the future", len(more.Events))
	}
}

func TestStalledLogHangsWritesAndNothingElse(t *testing.T) {
	t.Parallel()
	n := startSingle(t)
	states := expect(t, 200, "POST", n.faultAddr, "/fault", `{"target":"log","mode":"stall"}`)
	if fmt.Sprint(states) != "map[fsm:map[mode:off ms:0] log:map[mode:stall ms:0]]" {
		t.Errorf("%v", states)
	}
	written := make(chan int)
	go func() {
		status, _ := call(t, "PUT", n.httpAddr, "/kv/a", "1")
		written <- status
	}()
	// While the write waits, and after: the node looks healthy.
	for done := false; !done; {
		select {
		case status := <-written:
			done = true
			if status != 504 {
				t.Errorf("PUT: status %d", status)
			}
		default:
			if s := expect(t, 200, "GET", n.httpAddr, "/stats", ""); s["state"] != "Leader" {
				t.Fatalf("%v", s)
			}
			expect(t, 200, "GET", n.httpAddr, "/healthz", "")
			time.Sleep(50 * time.Millisecond)
		}
	}
	expect(t, 404, "GET", n.httpAddr, "/kv/a", "")
	expect(t, 200, "POST", n.faultAddr, "/fault", `{"target":"log","mode":"release"}`)
	eventually(t, "the write is made after all", func() bool {
		status, _ := call(t, "GET", n.httpAddr, "/kv/a", "")
		return status == 200
	})
	expect(t, 200, "PUT", n.httpAddr, "/kv/a", "2")
}

func TestSlowFSM(t *testing.T) {
	n := startSingle(t)
	states := expect(t, 200, "POST", n.faultAddr, "/fault", `{"target":"fsm","mode":"slow","ms":300}`)
	if fmt.Sprint(states["fsm"]) != "map[mode:slow ms:300]" {
		t.Errorf("%v", states)
	}
	began := time.Now()
	expect(t, 200, "PUT", n.httpAddr, "/kv/a", "1")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("took %s", took)
	}
	expect(t, 200, "POST", n.faultAddr, "/fault", `{"target":"fsm","mode":"release"}`)
	if states := expect(t, 200, "GET", n.faultAddr, "/fault", ""); fmt.Sprint(states["fsm"]) != "map[mode:off ms:0]" {
		t.Errorf("%v", states)
	}
}

func TestBadRequests(t *testing.T) {
	n := startSingle(t)
	for _, request := range []struct{ method, address, path, body, reason string }{
		{"POST", n.faultAddr, "/fault", `{`, "body"},
		{"POST", n.faultAddr, "/fault", `{"target":"cpu","mode":"stall"}`, "log or fsm"},
		{"POST", n.faultAddr, "/fault", `{"target":"log","mode":"burn"}`, "stall, slow or release"},
		{"POST", n.faultAddr, "/fault", `{"target":"log","mode":"slow"}`, "ms"},
		{"POST", n.faultAddr, "/fault", `{"target":"log","mode":"slow","ms":-5}`, "ms"},
		{"POST", n.faultAddr, "/fault", `{"target":"log","mode":"slow","ms":1e300}`, "ms"},
		{"POST", n.faultAddr, "/fault", `{"target":"log","mode":"slow","seconds":1}`, "seconds"},
		{"POST", n.httpAddr, "/join", `[]`, "body"},
		{"POST", n.httpAddr, "/join", `{"address":"127.0.0.1:1"}`, "id"},
		{"POST", n.httpAddr, "/join", `{"id":"n2","address":"here"}`, "host:port"},
		{"POST", n.httpAddr, "/remove", ``, "body"},
	} {
		answer := expect(t, 400, request.method, request.address, request.path, request.body)
		if !strings.Contains(answer["error"].(string), request.reason) {
			t.Errorf("%s: %v, want %q in it", request.body, answer, request.reason)
		}
	}
	expect(t, 413, "PUT", n.httpAddr, "/kv/a", strings.Repeat("x", maxBody+1))
	expect(t, 404, "GET", n.httpAddr, "/nowhere", "")
	expect(t, 404, "POST", n.httpAddr, "/fault", "")
	expect(t, 404, "GET", n.faultAddr, "/stats", "")
	if states := fmt.Sprint(n.faults()); strings.Contains(states, "slow") {
		t.Errorf("a bad request left %s", states)
	}
}

func TestTooManyPendingCalls(t *testing.T) {
	n := startSingle(t)
	for range maxPending {
		n.pending <- struct{}{}
	}
	expect(t, 503, "PUT", n.httpAddr, "/kv/a", "1")
	expect(t, 200, "GET", n.httpAddr, "/stats", "")
}

func TestDebugCounts(t *testing.T) {
	n := startSingle(t)
	if d := expect(t, 200, "GET", n.httpAddr, "/debug", ""); d["goroutines"].(float64) < 5 || d["fds"].(float64) < 5 {
		t.Errorf("%v", d)
	}
}

func TestBoltKeepsDataAndDoesNotBootstrapAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	address := freeAddress(t)
	args := flagsFor("n1", address, "-store", "bolt", "-data", dir, "-snapshot-threshold", "4", "-bootstrap", "-peer", "n1="+address)
	n := leaderFirst(t, []*node{start(t, args...)})[0]
	for i := range 10 {
		expect(t, 200, "PUT", n.httpAddr, fmt.Sprintf("/kv/key%d", i), fmt.Sprint(i))
	}
	eventually(t, "a snapshot", func() bool { return n.raft.Stats()["last_snapshot_index"] != "0" })
	expect(t, 200, "PUT", n.httpAddr, "/kv/last", "after the snapshot")

	second, err := parse(flagsFor("n2", freeAddress(t), "-store", "bolt", "-data", dir), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startNode(second, hclog.NewNullLogger()); err == nil {
		t.Error("two nodes in one data directory")
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	term := n.raft.CurrentTerm()

	n = leaderFirst(t, []*node{start(t, args...)})[0]
	if n.raft.CurrentTerm() <= term {
		t.Errorf("term %d after %d: the state was not kept", n.raft.CurrentTerm(), term)
	}
	for key, want := range map[string]string{"key0": "0", "key9": "9", "last": "after the snapshot"} {
		if answer := expect(t, 200, "GET", n.httpAddr, "/kv/"+key, ""); answer["value"] != want {
			t.Errorf("%v", answer)
		}
	}
	if c := expect(t, 200, "GET", n.httpAddr, "/configuration", ""); c["index"] != 1.0 {
		t.Errorf("the configuration index was lost with the log: %v", c)
	}
}

// sidecar listens where an observer connects, and reads until a line has all that is wanted.
type sidecar struct {
	path  string
	lines *bufio.Reader
	t     *testing.T
	l     net.Listener
}

func newSidecar(t *testing.T) *sidecar {
	t.Helper()
	dir, err := os.MkdirTemp("", "raftnode")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &sidecar{path: filepath.Join(dir, "s"), t: t}
	if s.l, err = net.Listen("unix", s.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.l.Close() })
	return s
}

func (s *sidecar) await(wanted ...string) {
	s.t.Helper()
	if s.lines == nil {
		c, err := s.l.Accept()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(2 * deadline))
		s.lines = bufio.NewReader(c)
	}
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%v: %v", wanted, err)
		}
		all := true
		for _, want := range wanted {
			all = all && strings.Contains(line, want)
		}
		if all {
			return
		}
	}
}

func TestObserverStreams(t *testing.T) {
	s := newSidecar(t)
	startSingle(t, "-observer", "unix:"+s.path)
	s.await(`"hello"`, `"node_id":"n1"`)
	s.await(`"configuration"`, `"index":1`)
	s.await(`"stats"`, `"state":"Leader"`)
}

// What the sink of the observer makes of a real transport.
func TestSnapshotInstallationIsSeenToBeginAndEnd(t *testing.T) {
	if err := setupMetrics(""); err != nil {
		t.Fatal(err)
	}
	t.Run("that succeeds", func(t *testing.T) {
		leader := startSingle(t, "-snapshot-threshold", "4")
		for i := range 20 {
			expect(t, 200, "PUT", leader.httpAddr, fmt.Sprintf("/kv/key%d", i), "x")
		}
		eventually(t, "the first entries are in a snapshot only", func() bool { return leader.raft.Stats()["last_snapshot_index"] != "0" })
		s := newSidecar(t)
		learner := start(t, flagsFor("n2", freeAddress(t), "-observer", "unix:"+s.path)...)
		expect(t, 200, "POST", learner.faultAddr, "/fault", `{"target":"fsm","mode":"stall"}`)
		body := fmt.Sprintf(`{"id":"n2","address":%q,"nonvoter":true}`, learner.options.raft)
		expect(t, 200, "POST", leader.httpAddr, "/join", body)
		s.await(`"installing_snapshot":true`)
		expect(t, 200, "POST", learner.faultAddr, "/fault", `{"target":"fsm","mode":"release"}`)
		s.await(`"installing_snapshot":false`)
		eventually(t, "the data is there, and the index of the configuration that came with it", func() bool {
			status, _ := call(t, "GET", learner.httpAddr, "/kv/key0", "")
			return status == 200 && learner.kv.configurationIndex.Load() > 0
		})
	})
	t.Run("that breaks off", func(t *testing.T) {
		s := newSidecar(t)
		target := start(t, flagsFor("n2", freeAddress(t), "-observer", "unix:"+s.path)...)
		sender, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Second, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Close()
		servers := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: sender.LocalAddr()}}}
		request := raft.InstallSnapshotRequest{
			RPCHeader:       raft.RPCHeader{ProtocolVersion: 3, ID: []byte("n1"), Addr: []byte(sender.LocalAddr())},
			SnapshotVersion: 1, Term: 1, LastLogIndex: 10, LastLogTerm: 1,
			Configuration: raft.EncodeConfiguration(servers), ConfigurationIndex: 1, Size: 1000,
		}
		failed := make(chan error)
		go func() {
			address := raft.ServerAddress(target.options.raft)
			failed <- sender.InstallSnapshot("n2", address, &request, new(raft.InstallSnapshotResponse), strings.NewReader("too short"))
		}()
		s.await(`"installing_snapshot":true`)
		if err := <-failed; err == nil {
			t.Error("half a snapshot was taken")
		}
		s.await(`"installing_snapshot":false`)
	})
}

func TestFSMRefusesWhatItDoesNotKnow(t *testing.T) {
	kv := newKeyValue(newGate())
	for _, data := range []string{"", "{}", `{"op":"drop"}`} {
		if err, _ := kv.Apply(&raft.Log{Data: []byte(data)}).(error); err == nil {
			t.Errorf("%q: no error", data)
		}
	}
	if err := kv.Restore(io.NopCloser(strings.NewReader("{"))); err == nil {
		t.Error("a torn snapshot was restored")
	}
}

func TestGateOpensWhileWaiting(t *testing.T) {
	g := newGate()
	if err := g.set(modeStall, 0); err != nil {
		t.Fatal(err)
	}
	passed := make(chan struct{})
	go func() { g.pass(); close(passed) }()
	if err := g.set(modeSlow, time.Hour); err != nil {
		t.Fatal(err)
	}
	select {
	case <-passed:
		t.Fatal("passed a slow gate at once")
	default:
	}
	g.close()
	<-passed
	if err := g.set(modeStall, 0); err == nil {
		t.Error("a closed gate was shut again")
	}
	g.pass()
}

func TestBadFlagsAreOneLineAndExit2(t *testing.T) {
	good := []string{"-id", "n1", "-raft", "127.0.0.1:7001", "-http", "127.0.0.1:8001"}
	for _, c := range [][]string{
		{"-nonsense"},
		{"stray"},
		{"-id", ""},
		{"-raft", "7001"},
		{"-raft", "127.0.0.1:"},
		{"-http", ""},
		{"-fault", "here"},
		{"-store", "paper"},
		{"-store", "bolt"},
		{"-data", "/tmp"},
		{"-bootstrap"},
		{"-bootstrap", "-peer", "n2=127.0.0.1:7002"},
		{"-bootstrap", "-peer", "n1=127.0.0.1:7001", "-peer", "n1=127.0.0.1:7002"},
		{"-bootstrap", "-peer", "n1=127.0.0.1:7001", "-join", "http://127.0.0.1:1"},
		{"-peer", "n1=127.0.0.1:7001"},
		{"-peer", "n1"},
		{"-peer", "n1=here"},
		{"-join", "127.0.0.1:8001"},
		{"-nonvoter"},
		{"-heartbeat-timeout", "soon"},
		{"-heartbeat-timeout", "1ms"},
		{"-leader-lease-timeout", "2s"},
		{"-transport-timeout", "0s"},
		{"-log-level", "loud"},
	} {
		var stderr bytes.Buffer
		code := run(context.Background(), append(append([]string(nil), good...), c...), &stderr)
		text := stderr.String()
		if code != 2 || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "raftnode: ") {
			t.Errorf("%v: exit %d, %q", c, code, text)
		}
	}
	var stderr bytes.Buffer
	if code := run(context.Background(), flagsFor("n1", "127.0.0.1:0", "-observer", "udp:127.0.0.1:1"), &stderr); code != 2 {
		t.Errorf("-observer: exit %d, %q", code, stderr.String())
	}
	var usage bytes.Buffer
	if code := run(context.Background(), []string{"-h"}, &usage); code != 0 || !strings.Contains(usage.String(), "-leader-lease-timeout") {
		t.Errorf("-h: exit %d, %q", code, usage.String())
	}
}

func TestWhatCannotStartExits1(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"-raft", taken.Addr().String()},
		{"-raft", "0.0.0.0:0"},
		{"-http", taken.Addr().String()},
		{"-fault", taken.Addr().String()},
		{"-store", "bolt", "-data", file},
	} {
		var stderr bytes.Buffer
		args := append(flagsFor("n1", "127.0.0.1:0"), c...)
		if code := run(context.Background(), args, &stderr); code != 1 || !strings.Contains(stderr.String(), "raftnode: ") {
			t.Errorf("%v: exit %d, %q", c, code, stderr.String())
		}
	}
}
