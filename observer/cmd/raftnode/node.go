package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/raft-exporter/raft-exporter/observer"
)

const (
	// stopTimeout bounds each step of the shutdown.
	stopTimeout = 5 * time.Second
	// boltLockTimeout turns a data directory in use into an error instead of a wait.
	boltLockTimeout = 2 * time.Second
)

// node is one running raftnode.
type node struct {
	options   options
	log       hclog.Logger
	raft      *raft.Raft
	kv        *keyValue
	gates     map[string]*gate
	recorder  *recorder
	observer  *observer.Observer
	transport *raft.NetworkTransport
	bolt      *raftboltdb.BoltStore
	servers   []*http.Server
	httpAddr  string
	faultAddr string

	failed  chan error
	pending chan struct{}
	cancel  context.CancelFunc
	running sync.WaitGroup

	stopOnce sync.Once
	stopErr  error
}

// flagError is an error of the command line that only the start can find.
type flagError struct{ error }

func startNode(o options, log hclog.Logger) (_ *node, err error) {
	n := &node{
		options: o, log: log,
		gates:   map[string]*gate{"log": newGate(), "fsm": newGate()},
		failed:  make(chan error, 2),
		pending: make(chan struct{}, maxPending),
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	defer func() {
		if err != nil {
			_ = n.stop()
		}
	}()
	if err := n.startRaft(); err != nil {
		return nil, err
	}
	n.recorder = startRecorder(n.raft)
	if o.observer != "" {
		n.observer, err = observer.Start(n.raft, observer.Config{
			NodeID: o.id, Address: string(n.transport.LocalAddr()), Socket: o.observer,
			ConfigurationIndex: n.kv.configurationIndex.Load,
		})
		if err != nil {
			return nil, flagError{fmt.Errorf("-observer: %w", err)}
		}
	}
	if n.httpAddr, err = n.listen(o.http, n.routes()); err != nil {
		return nil, err
	}
	if o.fault != "" {
		if n.faultAddr, err = n.listen(o.fault, n.faultRoutes()); err != nil {
			return nil, err
		}
	}
	n.goFunc(func() { n.announce(ctx) })
	if o.join != "" {
		n.goFunc(func() { n.join(ctx) })
	}
	log.Info("raftnode is up", "raft", n.transport.LocalAddr(), "http", n.httpAddr, "fault", n.faultAddr)
	return n, nil
}

func (n *node) goFunc(f func()) {
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		f()
	}()
}

func (n *node) startRaft() error {
	var (
		logs      raft.LogStore
		stable    raft.StableStore
		snapshots raft.SnapshotStore
	)
	if n.options.store == "bolt" {
		if err := os.MkdirAll(n.options.data, 0o755); err != nil {
			return err
		}
		path := filepath.Join(n.options.data, "raft.db")
		store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: boltLockTimeout}})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		n.bolt = store
		logs, stable = store, store
		if snapshots, err = raft.NewFileSnapshotStoreWithLogger(n.options.data, 2, n.log.Named("snapshot")); err != nil {
			return err
		}
	} else {
		store := raft.NewInmemStore()
		logs, stable, snapshots = store, store, raft.NewInmemSnapshotStore()
	}
	logs = &gatedLogs{logs, n.gates["log"]}
	n.kv = newKeyValue(n.gates["fsm"])

	var err error
	n.transport, err = raft.NewTCPTransportWithLogger(n.options.raft, nil, 3, n.options.transportTimeout, n.log.Named("transport"))
	if err != nil {
		return fmt.Errorf("-raft %s: %w", n.options.raft, err)
	}
	config := n.options.raftConfig()
	config.Logger = n.log.Named("raft")
	if n.options.bootstrap {
		has, err := raft.HasExistingState(logs, stable, snapshots)
		if err != nil {
			return err
		}
		if !has {
			servers := raft.Configuration{Servers: n.options.peers}
			if err := raft.BootstrapCluster(config, logs, stable, snapshots, n.transport, servers); err != nil {
				return err
			}
		}
	}
	n.raft, err = raft.NewRaft(config, n.kv, logs, stable, snapshots, n.transport)
	return err
}

func (n *node) listen(address string, handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: handlerTimeout, ReadTimeout: 2 * handlerTimeout,
		ErrorLog: n.log.Named("http").StandardLogger(&hclog.StandardLoggerOptions{}),
	}
	n.servers = append(n.servers, server)
	n.goFunc(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- err
		}
	})
	return listener.Addr().String(), nil
}

// stop ends everything that runs; it may be called on a node that started only in part, and again.
func (n *node) stop() error {
	n.stopOnce.Do(func() { n.stopErr = n.stopAll() })
	return n.stopErr
}

func (n *node) stopAll() error {
	var problems []error
	n.cancel()
	for _, g := range n.gates {
		g.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var stopped bool
	if n.raft != nil {
		done := make(chan error, 1)
		go func() { done <- n.raft.Shutdown().Error() }()
		select {
		case err := <-done:
			stopped = true
			problems = append(problems, err)
		case <-ctx.Done():
			problems = append(problems, errors.New("raft did not stop in time"))
		}
	} else if n.transport != nil {
		problems = append(problems, n.transport.Close())
	}
	if n.observer != nil {
		n.observer.Stop()
	}
	if n.recorder != nil {
		n.recorder.stop()
	}
	for _, server := range n.servers {
		if server.Shutdown(ctx) != nil {
			problems = append(problems, server.Close())
		}
	}
	n.running.Wait()
	// A store that Raft may still write to is left to the end of the process.
	if n.bolt != nil && (stopped || n.raft == nil) {
		problems = append(problems, n.bolt.Close())
	}
	return errors.Join(problems...)
}

// announce records, on each new leadership, where this leader answers HTTP.
func (n *node) announce(ctx context.Context) {
	host, _, _ := net.SplitHostPort(n.httpAddr)
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		return
	}
	for {
		select {
		case isLeader := <-n.raft.LeaderCh():
			if isLeader && n.kv.httpAddress(n.options.id) != n.httpAddr {
				n.raft.Apply(encodeCommand(command{opHTTP, n.options.id, n.httpAddr}), handlerTimeout)
			}
		case <-ctx.Done():
			return
		}
	}
}

func encodeCommand(c command) []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // three strings always encode
	}
	return data
}
