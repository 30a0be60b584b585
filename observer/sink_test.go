package observer

import (
	"fmt"
	"math"
	"sync"
	"testing"

	metrics "github.com/hashicorp/go-metrics/compat"
)

func peerLabel(id string) []metrics.Label {
	return []metrics.Label{{Name: "peer_id", Value: id}}
}

func rpcLabel(kind string) []metrics.Label {
	return []metrics.Label{{Name: "rpcType", Value: kind}}
}

func TestSinkCountsOnlyLabelledHeartbeats(t *testing.T) {
	s := new(HeartbeatSink)
	reader := s.attach()
	s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat"}, 1, peerLabel("plain"))
	s.AddSampleWithLabels([]string{"service", "timer", "raft", "replication", "heartbeat"}, 1, peerLabel("prefixed"))
	s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat"}, 1, append(rpcLabel("x"), peerLabel("second")...))
	// The rest must not count: legacy form, no label, other timers, nonsense.
	s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat", "legacy"}, 1, nil)
	s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat", "legacy"}, 1, peerLabel("legacy"))
	s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat"}, 1, nil)
	s.AddSampleWithLabels([]string{"raft", "replication", "appendEntries"}, 1, peerLabel("other"))
	s.AddSampleWithLabels([]string{"replication", "heartbeat"}, 1, peerLabel("short"))
	s.AddSampleWithLabels(nil, 1, peerLabel("none"))
	for _, value := range []float64{math.NaN(), math.Inf(1), -1} {
		s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat"}, float32(value), peerLabel("nonsense"))
	}
	s.AddSample([]string{"raft", "replication", "heartbeat"}, 1)
	s.SetGauge(nil, 1)
	s.SetGaugeWithLabels(nil, 1, nil)
	s.EmitKey(nil, 1)
	s.IncrCounter(nil, 1)
	s.IncrCounterWithLabels(nil, 1, nil)

	taken := s.take(reader)
	if len(taken) != 3 || taken["plain"].count != 1 || taken["prefixed"].count != 1 || taken["second"].count != 1 {
		t.Errorf("counted %v", taken)
	}
}

func TestSinkWithinGoMetrics(t *testing.T) {
	s := new(HeartbeatSink)
	reader := s.attach()
	conf := metrics.DefaultConfig("service")
	conf.EnableTypePrefix, conf.EnableRuntimeMetrics = true, false
	m, err := metrics.New(conf, metrics.FanoutSink{&metrics.BlackholeSink{}, s})
	if err != nil {
		t.Fatal(err)
	}
	m.AddSampleWithLabels([]string{"raft", "replication", "heartbeat"}, 7, peerLabel("n2"))
	m.AddSample([]string{"raft", "replication", "heartbeat", "n2"}, 7)
	if h := s.take(reader)["n2"]; h == nil || h.count != 1 || h.max != 7 {
		t.Errorf("%+v", h)
	}
}

func TestSinkBuckets(t *testing.T) {
	s := new(HeartbeatSink)
	reader := s.attach()
	for _, ms := range []float64{0, 0.5, 0.75, 2.5, 3, 10000, 10001} {
		s.heartbeat("n2", ms)
	}
	h := s.take(reader)["n2"]
	want := [15]uint64{2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}
	if h.buckets != want || h.max != 10001 || h.sum != 20007.75 || h.count != 7 || h.last.IsZero() {
		t.Errorf("%+v", h)
	}
}

func TestSinkGivesEachReaderItsOwnDeltas(t *testing.T) {
	s := new(HeartbeatSink)
	s.heartbeat("n2", 100) // nobody reads yet
	one, two := s.attach(), s.attach()
	s.heartbeat("n2", 9)
	if h := s.take(one)["n2"]; h.count != 1 || h.max != 9 {
		t.Errorf("first reader, first read: %+v", h)
	}
	s.heartbeat("n2", 2)
	if h := s.take(one)["n2"]; h.count != 1 || h.max != 2 {
		t.Errorf("first reader, second read: %+v", h)
	}
	if h := s.take(two)["n2"]; h.count != 2 || h.max != 9 || h.sum != 11 {
		t.Errorf("second reader: %+v", h)
	}
	s.detach(two)
	s.heartbeat("n2", 1)
	if len(two.peers) != 0 || len(s.take(one)) != 1 || len(s.take(one)) != 0 {
		t.Error("a reader that left goes on counting, or one that stayed counts twice")
	}
}

func TestSinkHoldsSoManyPeers(t *testing.T) {
	s := new(HeartbeatSink)
	reader := s.attach()
	for i := range 3 * maxPeers {
		s.heartbeat(fmt.Sprint(i), 1)
	}
	s.heartbeat("0", 1)
	taken := s.take(reader)
	if len(taken) != maxPeers || taken["0"].count != 2 {
		t.Errorf("%d peers", len(taken))
	}
}

func TestSinkTellsASnapshotInFlight(t *testing.T) {
	s := new(HeartbeatSink)
	reader := s.attach()
	begin := func(kind string) { s.AddSampleWithLabels([]string{"raft", "net", "rpcEnqueue"}, 1, rpcLabel(kind)) }
	end := func(kind string) { s.AddSampleWithLabels([]string{"raft", "net", "rpcRespond"}, 1, rpcLabel(kind)) }
	expect := func(want bool) {
		t.Helper()
		if s.installingSnapshot() != want {
			t.Errorf("installing is %t", !want)
		}
	}
	expect(false)
	end("InstallSnapshot") // its begin came before the sink
	begin("AppendEntries")
	expect(false)
	begin("InstallSnapshot")
	end("AppendEntries")
	expect(true)
	begin("InstallSnapshot") // another Raft of the process
	end("InstallSnapshot")
	expect(true)
	end("InstallSnapshot")
	expect(false)

	begin("InstallSnapshot") // cut off by a shutdown: no end will come
	s.detach(reader)
	s.attach()
	expect(false)
	begin("InstallSnapshot")
	s.attach() // a second reader must not forget what the first one sees
	expect(true)
}

func TestSinkIsSafeForConcurrentUse(t *testing.T) {
	s := new(HeartbeatSink)
	reader := s.attach()
	const writers, each = 8, 500
	var group sync.WaitGroup
	for range writers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range each {
				s.AddSampleWithLabels([]string{"raft", "replication", "heartbeat"}, 1, peerLabel(fmt.Sprint(i%7)))
				s.AddSampleWithLabels([]string{"raft", "net", "rpcEnqueue"}, 1, rpcLabel("InstallSnapshot"))
				s.installingSnapshot()
				s.detach(s.attach())
			}
		}()
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	var total uint64
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		for _, h := range s.take(reader) {
			total += h.count
		}
	}
	if total != writers*each {
		t.Errorf("%d counted, want %d", total, writers*each)
	}
}

func BenchmarkSinkIgnoresAnotherSample(b *testing.B) {
	s := new(HeartbeatSink)
	s.attach()
	key := []string{"service", "raft", "fsm", "apply"}
	b.ReportAllocs()
	for b.Loop() {
		s.AddSampleWithLabels(key, 1, nil)
	}
}

func BenchmarkSinkHeartbeat(b *testing.B) {
	s := new(HeartbeatSink)
	s.attach()
	key, labels := []string{"service", "raft", "replication", "heartbeat"}, peerLabel("n2")
	b.ReportAllocs()
	for b.Loop() {
		s.AddSampleWithLabels(key, 1, labels)
	}
}
