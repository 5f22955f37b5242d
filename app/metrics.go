package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newRegistry returns a registry with the process's own metrics.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// startMetrics serves /metrics and /ready.
func (n *Node) startMetrics(context.Context) error {
	if n.opts.Node.Metrics == "" {
		return nil
	}
	ln, err := net.Listen("tcp", n.opts.Node.Metrics)
	if err != nil {
		return fmt.Errorf("listen for metrics: %w", err)
	}
	n.listeners["metrics"] = ln.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /ready", n.serveReady)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	n.serving.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- fmt.Errorf("serve metrics: %w", err)
		}
	})
	n.onStop("the metrics", server.Shutdown)
	return nil
}

// serveReady says whether mail would be taken now.
func (n *Node) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := n.landing.Ready(); err != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
