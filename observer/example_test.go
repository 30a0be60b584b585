package observer_test

import (
	"log"

	metrics "github.com/hashicorp/go-metrics/compat"
	"github.com/hashicorp/raft"

	"github.com/raft-exporter/raft-exporter/observer"
)

// What a service has already: its own metrics sink and its Raft.
var (
	ownSink = metrics.MetricSink(&metrics.BlackholeSink{})
	node    *raft.Raft
)

func Example() {
	metrics.NewGlobal(metrics.DefaultConfig("my-service"), metrics.FanoutSink{ownSink, observer.Sink()})
	o, err := observer.Start(node, observer.Config{NodeID: "n1", Address: "10.0.0.1:7000"})
	if err != nil {
		log.Fatal(err)
	}
	defer o.Stop()
}
