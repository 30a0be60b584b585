package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// command is one entry of the replicated log.
type command struct {
	Op    string `json:"op"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

const (
	opSet = "set"
	// opHTTP records where a leader answers HTTP, so that followers can name it.
	opHTTP = "http"
)

// keyValue is the replicated state machine.
type keyValue struct {
	gate *gate
	// configurationIndex is the log index of the last committed configuration.
	configurationIndex atomic.Uint64

	mu    sync.RWMutex
	state kvState
}

type kvState struct {
	Values             map[string]string `json:"values"`
	HTTP               map[string]string `json:"http"`
	ConfigurationIndex uint64            `json:"configuration_index"`
}

var _ raft.ConfigurationStore = (*keyValue)(nil)

func newKeyValue(g *gate) *keyValue {
	return &keyValue{gate: g, state: kvState{Values: make(map[string]string), HTTP: make(map[string]string)}}
}

func (kv *keyValue) get(key string) (string, bool) {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	value, ok := kv.state.Values[key]
	return value, ok
}

func (kv *keyValue) httpAddress(id string) string {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	return kv.state.HTTP[id]
}

// Apply implements raft.FSM; its result is nil or an error.
func (kv *keyValue) Apply(entry *raft.Log) any {
	kv.gate.pass()
	var c command
	if err := json.Unmarshal(entry.Data, &c); err != nil {
		return fmt.Errorf("entry %d: %w", entry.Index, err)
	}
	kv.mu.Lock()
	defer kv.mu.Unlock()
	switch c.Op {
	case opSet:
		kv.state.Values[c.Key] = c.Value
	case opHTTP:
		kv.state.HTTP[c.Key] = c.Value
	default:
		return fmt.Errorf("entry %d: unknown op %q", entry.Index, c.Op)
	}
	return nil
}

// StoreConfiguration implements raft.ConfigurationStore.
func (kv *keyValue) StoreConfiguration(index uint64, _ raft.Configuration) {
	kv.configurationIndex.Store(index)
}

// Snapshot implements raft.FSM. The index goes with it: a restored node sees no StoreConfiguration for it.
func (kv *keyValue) Snapshot() (raft.FSMSnapshot, error) {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	return &kvSnapshot{kvState{
		Values: maps.Clone(kv.state.Values), HTTP: maps.Clone(kv.state.HTTP),
		ConfigurationIndex: kv.configurationIndex.Load(),
	}}, nil
}

// Restore implements raft.FSM.
func (kv *keyValue) Restore(source io.ReadCloser) error {
	defer source.Close()
	kv.gate.pass()
	restored := kvState{Values: make(map[string]string), HTTP: make(map[string]string)}
	if err := json.NewDecoder(source).Decode(&restored); err != nil {
		return err
	}
	kv.mu.Lock()
	kv.state = restored
	kv.mu.Unlock()
	kv.configurationIndex.Store(restored.ConfigurationIndex)
	return nil
}

type kvSnapshot struct{ state kvState }

func (s *kvSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := json.NewEncoder(sink).Encode(s.state); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *kvSnapshot) Release() {}
