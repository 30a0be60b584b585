package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

const (
	handlerTimeout = 5 * time.Second
	maxBody        = 1 << 20
	// maxPending bounds the calls that still wait for a Raft that hangs after their request was answered.
	maxPending = 1024
)

// failure is the body of every answer that is not a success.
type failure struct {
	Error         string `json:"error"`
	LeaderID      string `json:"leader_id,omitempty"`
	LeaderAddress string `json:"leader_address,omitempty"`
	LeaderHTTP    string `json:"leader_http,omitempty"`
	status        int
}

func fail(status int, format string, args ...any) *failure {
	return &failure{Error: fmt.Sprintf(format, args...), status: status}
}

type object map[string]any

type handler func(r *http.Request) (any, *failure)

// answer runs a handler with a deadline and writes its JSON.
func answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), handlerTimeout)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		value, failed := h(r.WithContext(ctx))
		status := http.StatusOK
		if failed != nil {
			value, status = failed, failed.status
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(value)
	}
}

func (n *node) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /kv/{key}", answer(n.getKey))
	mux.Handle("PUT /kv/{key}", answer(n.putKey))
	mux.Handle("GET /leader", answer(n.getLeader))
	mux.Handle("GET /stats", answer(n.getStats))
	mux.Handle("GET /configuration", answer(n.getConfiguration))
	mux.Handle("POST /join", answer(n.postJoin))
	mux.Handle("POST /remove", answer(n.postRemove))
	mux.Handle("POST /transfer", answer(n.postTransfer))
	mux.Handle("GET /observations", answer(n.getObservations))
	mux.Handle("GET /healthz", answer(func(*http.Request) (any, *failure) { return object{"ok": true}, nil }))
	mux.Handle("GET /debug", answer(getDebug))
	mux.Handle("/", answer(notFound))
	return mux
}

func (n *node) faultRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /fault", answer(func(*http.Request) (any, *failure) { return n.faults(), nil }))
	mux.Handle("POST /fault", answer(n.postFault))
	mux.Handle("/", answer(notFound))
	return mux
}

func notFound(r *http.Request) (any, *failure) {
	return nil, fail(http.StatusNotFound, "no such endpoint: %s %s", r.Method, r.URL.Path)
}

// await gives a future until the deadline of ctx, and answers its log index. Futures cannot be cancelled, so one that
// hangs keeps a goroutine; how many is bounded.
func (n *node) await(ctx context.Context, start func() raft.Future) (uint64, *failure) {
	select {
	case n.pending <- struct{}{}:
	default:
		return 0, fail(http.StatusServiceUnavailable, "too many requests wait for Raft")
	}
	type outcome struct {
		index uint64
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-n.pending }()
		future := start()
		out := outcome{err: future.Error()}
		if apply, ok := future.(raft.ApplyFuture); out.err == nil && ok {
			out.err, _ = apply.Response().(error)
		}
		if entry, ok := future.(raft.IndexFuture); out.err == nil && ok {
			out.index = entry.Index()
		}
		done <- out
	}()
	select {
	case out := <-done:
		return out.index, n.raftFailure(out.err)
	case <-ctx.Done():
		return 0, fail(http.StatusGatewayTimeout, "Raft did not answer in %s; the change may still be made", handlerTimeout)
	}
}

func (n *node) raftFailure(err error) *failure {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		address, id := n.raft.LeaderWithID()
		return &failure{
			Error: err.Error(), LeaderID: string(id), LeaderAddress: string(address),
			LeaderHTTP: n.kv.httpAddress(string(id)), status: http.StatusMisdirectedRequest,
		}
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fail(http.StatusGatewayTimeout, "%v", err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return fail(http.StatusServiceUnavailable, "%v", err)
	}
	return fail(http.StatusInternalServerError, "%v", err)
}

func (n *node) getKey(r *http.Request) (any, *failure) {
	key := r.PathValue("key")
	value, ok := n.kv.get(key)
	if !ok {
		return nil, fail(http.StatusNotFound, "no such key: %s", key)
	}
	return object{"key": key, "value": value}, nil
}

func (n *node) putKey(r *http.Request) (any, *failure) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyFailure(err)
	}
	key := r.PathValue("key")
	entry := encodeCommand(command{opSet, key, string(body)})
	index, failed := n.await(r.Context(), func() raft.Future { return n.raft.Apply(entry, handlerTimeout) })
	if failed != nil {
		return nil, failed
	}
	return object{"key": key, "index": index}, nil
}

func (n *node) getLeader(*http.Request) (any, *failure) {
	address, id := n.raft.LeaderWithID()
	return object{"id": id, "address": address, "is_leader": n.raft.State() == raft.Leader}, nil
}

func (n *node) getStats(*http.Request) (any, *failure) {
	address, id := n.raft.LeaderWithID()
	stats := n.raft.Stats()
	stats["leader_id"], stats["leader_address"] = string(id), string(address)
	return stats, nil
}

type serverEntry struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Suffrage string `json:"suffrage"`
}

func (n *node) configuration() ([]serverEntry, error) {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, err
	}
	servers := make([]serverEntry, 0)
	for _, s := range future.Configuration().Servers {
		servers = append(servers, serverEntry{string(s.ID), string(s.Address), s.Suffrage.String()})
	}
	return servers, nil
}

func (n *node) getConfiguration(*http.Request) (any, *failure) {
	servers, err := n.configuration()
	if err != nil {
		return nil, n.raftFailure(err)
	}
	return object{"index": n.kv.configurationIndex.Load(), "servers": servers}, nil
}

type joinRequest struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Nonvoter bool   `json:"nonvoter"`
}

func (n *node) postJoin(r *http.Request) (any, *failure) {
	var request joinRequest
	if failed := decode(r, &request); failed != nil {
		return nil, failed
	}
	if request.ID == "" {
		return nil, fail(http.StatusBadRequest, "id: expected a server id")
	}
	if err := checkAddress(request.Address); err != nil {
		return nil, fail(http.StatusBadRequest, "address %q: %v", request.Address, err)
	}
	suffrage := raft.Voter
	if request.Nonvoter {
		suffrage = raft.Nonvoter
	}
	wanted := serverEntry{request.ID, request.Address, suffrage.String()}
	servers, err := n.configuration()
	if err != nil {
		return nil, n.raftFailure(err)
	}
	if n.raft.State() == raft.Leader && slices.Contains(servers, wanted) {
		return wanted, nil
	}
	_, failed := n.await(r.Context(), func() raft.Future {
		id, address := raft.ServerID(request.ID), raft.ServerAddress(request.Address)
		if request.Nonvoter {
			return n.raft.AddNonvoter(id, address, 0, handlerTimeout)
		}
		return n.raft.AddVoter(id, address, 0, handlerTimeout)
	})
	if failed != nil {
		return nil, failed
	}
	return wanted, nil
}

func (n *node) postRemove(r *http.Request) (any, *failure) {
	var request struct {
		ID string `json:"id"`
	}
	if failed := decode(r, &request); failed != nil {
		return nil, failed
	}
	servers, err := n.configuration()
	if err != nil {
		return nil, n.raftFailure(err)
	}
	if !slices.ContainsFunc(servers, func(s serverEntry) bool { return s.ID == request.ID }) {
		return nil, fail(http.StatusNotFound, "no such server: %q", request.ID)
	}
	_, failed := n.await(r.Context(), func() raft.Future {
		return n.raft.RemoveServer(raft.ServerID(request.ID), 0, handlerTimeout)
	})
	if failed != nil {
		return nil, failed
	}
	return object{"id": request.ID}, nil
}

func (n *node) postTransfer(r *http.Request) (any, *failure) {
	// Raft would answer a follower only with the reason, not with the leader.
	if n.raft.State() != raft.Leader {
		return nil, n.raftFailure(raft.ErrNotLeader)
	}
	if _, failed := n.await(r.Context(), n.raft.LeadershipTransfer); failed != nil {
		return nil, failed
	}
	return object{"ok": true}, nil
}

func (n *node) getObservations(r *http.Request) (any, *failure) {
	var since uint64
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fail(http.StatusBadRequest, "since %q: expected a number, 0 or more", text)
		}
	}
	return n.recorder.since(since), nil
}

func getDebug(*http.Request) (any, *failure) {
	fds := -1 // not known without /proc
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		fds = len(entries) - 1 // less the one that reads the directory
	}
	return object{"goroutines": runtime.NumGoroutine(), "fds": fds}, nil
}

func (n *node) faults() map[string]gateState {
	states := make(map[string]gateState)
	for target, g := range n.gates {
		states[target] = g.state()
	}
	return states
}

func (n *node) postFault(r *http.Request) (any, *failure) {
	var request struct {
		Target string  `json:"target"`
		Mode   string  `json:"mode"`
		MS     float64 `json:"ms"`
	}
	if failed := decode(r, &request); failed != nil {
		return nil, failed
	}
	g, ok := n.gates[request.Target]
	if !ok {
		return nil, fail(http.StatusBadRequest, "target %q: expected log or fsm", request.Target)
	}
	// Bounded before it becomes a duration, which would overflow.
	delay := time.Duration(min(max(request.MS, 0), 1e9) * float64(time.Millisecond))
	if err := g.set(request.Mode, delay); err != nil {
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	return n.faults(), nil
}

func decode(r *http.Request, into any) *failure {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return bodyFailure(err)
	}
	return nil
}

func bodyFailure(err error) *failure {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fail(http.StatusRequestEntityTooLarge, "body over %d bytes", tooLarge.Limit)
	}
	return fail(http.StatusBadRequest, "body: %v", err)
}
