package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// options are the flags, checked.
type options struct {
	id, raft, http string
	store, data    string
	bootstrap      bool
	peers          []raft.Server
	join           string
	nonvoter       bool

	heartbeatTimeout   time.Duration
	electionTimeout    time.Duration
	leaderLeaseTimeout time.Duration
	transportTimeout   time.Duration
	snapshotThreshold  uint64

	observer string
	statsd   string
	fault    string
	logLevel string
}

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("raftnode", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.id, "id", "", "server `id` of this node (required)")
	flags.StringVar(&o.raft, "raft", "", "Raft address, `host:port`, as the others reach it (required)")
	flags.StringVar(&o.http, "http", "", "HTTP address, `host:port` (required)")
	flags.StringVar(&o.store, "store", "memory", "where log and term live: memory or bolt")
	flags.StringVar(&o.data, "data", "", "`directory` for -store bolt")
	flags.BoolVar(&o.bootstrap, "bootstrap", false, "bootstrap a new cluster of the -peer servers, unless there is state already")
	flags.Func("peer", "`id=host:port` of one server of the new cluster, this one included (repeat)", func(s string) error {
		id, address, ok := strings.Cut(s, "=")
		if !ok || id == "" {
			return errors.New("expected id=host:port")
		}
		if err := checkAddress(address); err != nil {
			return err
		}
		o.peers = append(o.peers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(address)})
		return nil
	})
	flags.StringVar(&o.join, "join", "", "`URL` of a node of the cluster to join, http://host:port")
	flags.BoolVar(&o.nonvoter, "nonvoter", false, "join as a non-voter")
	flags.DurationVar(&o.heartbeatTimeout, "heartbeat-timeout", time.Second, "raft HeartbeatTimeout")
	flags.DurationVar(&o.electionTimeout, "election-timeout", time.Second, "raft ElectionTimeout")
	flags.DurationVar(&o.leaderLeaseTimeout, "leader-lease-timeout", 500*time.Millisecond, "raft LeaderLeaseTimeout")
	flags.DurationVar(&o.transportTimeout, "transport-timeout", 10*time.Second, "timeout of the Raft transport")
	flags.Uint64Var(&o.snapshotThreshold, "snapshot-threshold", 0,
		"entries before a snapshot, checked each second, and entries kept after it; 0 keeps the defaults of hashicorp/raft")
	flags.StringVar(&o.observer, "observer", "", "sidecar to stream to, unix:/path or tcp:host:port (empty: none)")
	flags.StringVar(&o.statsd, "statsd", "", "statsd to send go-metrics to, `host:port` over UDP (empty: none)")
	flags.StringVar(&o.fault, "fault", "", "address of the fault injection, `host:port` (empty: none)")
	flags.StringVar(&o.logLevel, "log-level", "info", "trace, debug, info, warn, error or off")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(usage)
			flags.Usage()
		}
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.check()
}

func (o *options) check() error {
	if o.id == "" {
		return errors.New("-id is required")
	}
	for _, address := range []struct{ flag, value string }{{"-raft", o.raft}, {"-http", o.http}, {"-fault", o.fault}} {
		if address.value == "" && address.flag == "-fault" {
			continue
		}
		if err := checkAddress(address.value); err != nil {
			return fmt.Errorf("%s %q: %w", address.flag, address.value, err)
		}
	}
	switch {
	case o.store != "memory" && o.store != "bolt":
		return fmt.Errorf("-store %q: expected memory or bolt", o.store)
	case o.store == "bolt" && o.data == "":
		return errors.New("-store bolt needs -data")
	case o.store == "memory" && o.data != "":
		return errors.New("-data is only used with -store bolt")
	case o.bootstrap && o.join != "":
		return errors.New("-bootstrap and -join exclude each other")
	case o.nonvoter && o.join == "":
		return errors.New("-nonvoter needs -join")
	case !o.bootstrap && len(o.peers) > 0:
		return errors.New("-peer is only used with -bootstrap")
	case o.transportTimeout <= 0:
		return fmt.Errorf("-transport-timeout %s: expected more than 0", o.transportTimeout)
	case hclog.LevelFromString(o.logLevel) == hclog.NoLevel:
		return fmt.Errorf("-log-level %q: expected trace, debug, info, warn, error or off", o.logLevel)
	}
	if o.join != "" {
		if u, err := url.Parse(o.join); err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("-join %q: expected http://host:port", o.join)
		}
	}
	if err := o.checkPeers(); err != nil {
		return err
	}
	return raft.ValidateConfig(o.raftConfig())
}

func (o *options) checkPeers() error {
	if !o.bootstrap {
		return nil
	}
	self := false
	for _, server := range o.peers {
		self = self || server.ID == raft.ServerID(o.id)
	}
	if !self {
		return fmt.Errorf("-bootstrap needs a -peer %s=host:port for this node too", o.id)
	}
	seen := make(map[string]bool)
	for _, server := range o.peers {
		if seen[string(server.ID)] || seen["@"+string(server.Address)] {
			return fmt.Errorf("-peer %s=%s: id or address given twice", server.ID, server.Address)
		}
		seen[string(server.ID)], seen["@"+string(server.Address)] = true, true
	}
	return nil
}

func checkAddress(address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return errors.New("expected host:port")
	}
	return nil
}

func (o *options) raftConfig() *raft.Config {
	config := raft.DefaultConfig()
	config.ProtocolVersion = raft.ProtocolVersionMax
	config.LocalID = raft.ServerID(o.id)
	config.HeartbeatTimeout = o.heartbeatTimeout
	config.ElectionTimeout = o.electionTimeout
	config.LeaderLeaseTimeout = o.leaderLeaseTimeout
	if o.snapshotThreshold > 0 {
		config.SnapshotThreshold = o.snapshotThreshold
		config.SnapshotInterval = time.Second
		config.TrailingLogs = o.snapshotThreshold
	}
	return config
}
