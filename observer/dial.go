package observer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// DefaultSocket is where the sidecar listens unless it is told otherwise.
	DefaultSocket = "unix:/run/raft-exporter/observer.sock"

	dialTimeout = time.Second
	// maxUnixPath is what a socket address holds on Linux, without its final zero.
	maxUnixPath = 107
)

// conn is what the stream needs of a net.Conn.
type conn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	SetWriteDeadline(time.Time) error
	Close() error
}

// dialer checks a Config.Socket and returns the function that connects to it.
func dialer(socket string) (func(context.Context) (conn, error), error) {
	if socket == "" {
		socket = DefaultSocket
	}
	network, address, _ := strings.Cut(socket, ":")
	switch network {
	case "unix":
		if address == "" || len(address) > maxUnixPath {
			return nil, fmt.Errorf("observer: Config.Socket %q: expected a path of 1 to %d bytes after unix:", socket, maxUnixPath)
		}
	case "tcp":
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("observer: Config.Socket %q: expected tcp:host:port: %w", socket, err)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("observer: Config.Socket %q: expected a port from 1 to 65535", socket)
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("observer: Config.Socket %q: expected a loopback address: the stream is not encrypted", socket)
		}
	default:
		return nil, fmt.Errorf("observer: Config.Socket %q: expected unix:/path or tcp:host:port", socket)
	}
	d := net.Dialer{Timeout: dialTimeout, Control: onlyLocal}
	return func(ctx context.Context) (conn, error) { return d.DialContext(ctx, network, address) }, nil
}

// onlyLocal refuses what localhost resolved to when that is not a loopback address.
func onlyLocal(network, address string, _ syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		return fmt.Errorf("%s is not a loopback address", address)
	}
	return nil
}

// backoff spaces out the attempts to connect: exponential, jittered, bounded.
type backoff struct {
	first, last time.Duration
	next        time.Duration
}

// wait sleeps for the next delay; false when ctx ended.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, b.first), b.last)
	// Half of the delay is fixed, so that a sidecar that refuses us is never hammered.
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *backoff) reset() { b.next = 0 }
