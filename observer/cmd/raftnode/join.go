package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const joinRetry = 500 * time.Millisecond

// joinClient keeps no connection: one that idles would count as a descriptor of the node for ever.
var joinClient = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// join asks the node named by -join, or the leader that it names, until this node is in.
func (n *node) join(ctx context.Context) {
	target := n.options.join
	for {
		leader, err := n.askToJoin(ctx, target)
		if err == nil {
			n.log.Info("joined", "by", target)
			return
		}
		n.log.Debug("not joined yet", "asked", target, "error", err)
		target = n.options.join
		if leader != "" {
			target = "http://" + leader
		}
		select {
		case <-time.After(joinRetry):
		case <-ctx.Done():
			return
		}
	}
}

// askToJoin gives the HTTP address of the leader when the node asked is not it but knows.
func (n *node) askToJoin(ctx context.Context, target string) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout+time.Second)
	defer cancel()
	body, err := json.Marshal(joinRequest{n.options.id, string(n.transport.LocalAddr()), n.options.nonvoter})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(target, "/")+"/join", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := joinClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return "", nil
	}
	var answer failure
	_ = json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&answer)
	return answer.LeaderHTTP, fmt.Errorf("%s: %s", response.Status, answer.Error)
}
