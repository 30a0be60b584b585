package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The process itself: a stalled log must not keep it from ending when it is asked to.
func TestSignalEndsTheProcessDespiteAStall(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "raftnode")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		raftAddress, httpAddress, faultAddress := freeAddress(t), freeAddress(t), freeAddress(t)
		var stderr bytes.Buffer
		process := exec.Command(binary, "-id", "n1", "-raft", raftAddress, "-http", httpAddress, "-fault", faultAddress,
			"-bootstrap", "-peer", "n1="+raftAddress, "-observer", "unix:/nowhere/s",
			"-heartbeat-timeout", "100ms", "-election-timeout", "100ms", "-leader-lease-timeout", "50ms")
		process.Stderr = &stderr
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		defer process.Process.Kill()
		eventually(t, "the node is up", func() bool {
			response, err := joinClient.Get("http://" + httpAddress + "/healthz")
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
		eventually(t, "it leads", func() bool {
			return expect(t, 200, "GET", httpAddress, "/leader", "")["is_leader"] == true
		})
		for _, target := range []string{"log", "fsm"} {
			expect(t, 200, "POST", faultAddress, "/fault", `{"target":"`+target+`","mode":"stall"}`)
		}
		abandoned := make(chan struct{})
		go func() {
			defer close(abandoned)
			request, _ := http.NewRequest("PUT", "http://"+httpAddress+"/kv/a", bytes.NewReader([]byte("1")))
			if response, err := joinClient.Do(request); err == nil {
				response.Body.Close()
			}
		}()
		if err := process.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- process.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: %v\n%s", signal, err, stderr.String())
			}
		case <-time.After(deadline):
			t.Fatalf("%s: still running\n%s", signal, stderr.String())
		}
		<-abandoned
	}
}
