// Command raftnode is a small replicated key-value service on hashicorp/raft, for
// demonstrations, tests and benchmarks of raft-exporter. It can make its own disk or
// state machine hang.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	metrics "github.com/hashicorp/go-metrics/compat"

	"github.com/raft-exporter/raft-exporter/observer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the second one kills, should the shutdown hang.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is the whole life of the process; it returns the exit code.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "raftnode: %v\n", err)
		return 2
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: o.id, Level: hclog.LevelFromString(o.logLevel), Output: stderr})
	if err := setupMetrics(o.statsd); err != nil {
		fmt.Fprintf(stderr, "raftnode: %v\n", err)
		return 1
	}
	n, err := startNode(o, logger)
	if err != nil {
		fmt.Fprintf(stderr, "raftnode: %v\n", err)
		if errors.As(err, new(flagError)) {
			return 2
		}
		return 1
	}
	select {
	case <-ctx.Done():
		logger.Info("shutting down")
	case err = <-n.failed:
		logger.Error("a listener failed", "error", err)
	}
	if stopErr := n.stop(); stopErr != nil {
		logger.Error("shutdown was not clean", "error", stopErr)
		return 1
	}
	if err != nil {
		return 1
	}
	return 0
}

// setupMetrics puts the sink of the observer beside those of our own, as a service would; statsd is an
// address, or empty.
func setupMetrics(statsd string) error {
	conf := metrics.DefaultConfig("raftnode")
	conf.EnableHostname = false
	conf.EnableRuntimeMetrics = false
	sinks := metrics.FanoutSink{metrics.NewInmemSink(10*time.Second, time.Minute), observer.Sink()}
	if statsd != "" {
		sink, err := metrics.NewStatsdSink(statsd)
		if err != nil {
			return err
		}
		sinks = append(sinks, sink)
	}
	_, err := metrics.NewGlobal(conf, sinks)
	return err
}
