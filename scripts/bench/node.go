package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const askTimeout = 10 * time.Second

// ask makes one request to the node, outside of all measurements.
func (n *node) ask(ctx context.Context, path, authorization string) (status int, header http.Header, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.httpAddr+path, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	request.Close = true // a kept connection would outlive the node that it leads to
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, 8<<20))
	return response.StatusCode, response.Header, body, err
}

func (n *node) must(ctx context.Context, path, authorization string) (http.Header, []byte, error) {
	status, header, body, err := n.ask(ctx, path, authorization)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d: %.300s", n.id, path, status, body)
	}
	return header, body, err
}

func (n *node) ready(ctx context.Context) error {
	_, _, err := n.must(ctx, "/readyz", "")
	return err
}

func (n *node) leads(ctx context.Context) bool {
	status, _, _, err := n.ask(ctx, "/leaderz", "")
	return err == nil && status == http.StatusOK
}

// session is the node's whole answer to a read of a session.
func (n *node) session(ctx context.Context, token string) (answer, error) {
	header, body, err := n.must(ctx, "/api/sessions/current/", "Session "+token)
	if err != nil {
		return answer{}, err
	}
	header.Del("Date") // net/http writes these itself
	header.Del("Content-Length")
	header.Del("Connection")
	return answer{header, body}, nil
}

// stats are the counters of /api/stats/ by name.
func (n *node) stats(ctx context.Context, key string) (map[string]float64, error) {
	_, body, err := n.must(ctx, "/api/stats/", "Bearer "+key)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, fmt.Errorf("%s /api/stats/: %w", n.id, err)
	}
	numbers := make(map[string]float64)
	for name, value := range members {
		if v, ok := value.(float64); ok {
			numbers[name] = v
		}
	}
	return numbers, nil
}

// metrics reads series without labels from /metrics.
func (n *node) metrics(ctx context.Context) (map[string]float64, error) {
	_, body, err := n.must(ctx, "/metrics", "")
	if err != nil {
		return nil, err
	}
	series := make(map[string]float64)
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			series[name] = v
		}
	}
	return series, nil
}
