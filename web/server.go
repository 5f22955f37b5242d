package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what a server works with. All fields must be set unless a default is named.
type Options struct {
	TLS      *tls.Config              // nil: without (tests, which ask Root)
	Leaf     func() *x509.Certificate // the certificate that is shown: its names are answered for; nil without TLS
	Sessions Sessions
	Log      *slog.Logger
	Registry prometheus.Registerer
	Clock    func() time.Time // default time.Now
	// Whose says where connections from an address come from. Nil: from strangers.
	Whose func(netip.Addr) Side
	// State says for a mailbox (0: nobody's) what every page tells in its first line. Nil: nothing.
	State func(ctx context.Context, v *Visit, mailbox int64) []Notice
}

// Limits of the server. For connections see crowd.
const (
	headerTime  = 10 * time.Second // until a request's header is there
	readTime    = 5 * time.Minute  // until its body is there: 25 MB over a poor line
	writeTime   = 10 * time.Minute // for the answer: a large attachment over a poor line
	idleTime    = 2 * time.Minute
	headerBytes = 32 << 10
	smallBody   = 1 << 20
	largeAtOnce = 8 // bodies beyond smallBody, which lie in memory while they are read
	largeOfOne  = 2 // those of one person: she, or who has her password, must leave room for others
)

// A Server answers HTTPS requests.
type Server struct {
	opts    Options
	mux     *http.ServeMux
	origins *http.CrossOriginProtection
	large   uploads
	opened  map[string]bool  // by pattern: see MountOpen
	bodies  map[string]int64 // by pattern: how large a body may be
	forms   map[string]bool  // by pattern: see MountForm
	pages   *Pages
	took    *prometheus.HistogramVec
	crowd   *crowd
	http    *http.Server
}

// New returns a server with the pages that all need: the files of static, the switch of
// languages, and mistakes.
func New(o Options) (*Server, error) {
	if o.TLS != nil && o.Leaf == nil || o.Sessions == nil || o.Log == nil || o.Registry == nil {
		return nil, errors.New("web: an option is not set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	s := &Server{
		opts: o, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(),
		large: uploads{of: map[int64]int{}}, bodies: map[string]int64{}, forms: map[string]bool{},
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "web_request_seconds", Help: "How long answers took, by page and class of status.",
			Buckets: []float64{.005, .01, .025, .05, .1, .15, .25, .5, 1, 2.5, 10},
		}, []string{"page", "status"}),
	}
	if err := o.Registry.Register(s.took); err != nil {
		return nil, fmt.Errorf("register the metrics of web: %w", err)
	}
	var err error
	if s.crowd, err = newCrowd(o.Whose, o.Registry); err != nil {
		return nil, fmt.Errorf("register the metrics of web: %w", err)
	}
	s.http = &http.Server{
		ConnState: s.crowd.changed,
		Handler:   s.Root(), TLSConfig: o.TLS.Clone(), MaxHeaderBytes: headerBytes,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		// What single clients do wrong (a scan, a broken handshake) is for who wants to know all.
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	if s.pages, err = s.NewPages(templates, german); err != nil {
		return nil, err
	}
	links, err := s.serveStatic()
	if err != nil {
		return nil, err
	}
	s.Mount("GET /favicon.ico", s.Handler(func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, links["mark.svg"], http.StatusFound)
		return nil
	}))
	s.Mount("GET /language", s.Handler(s.setLanguage))
	s.Mount("/", s.Handler(func(http.ResponseWriter, *http.Request) error { return ErrNotFound }))
	return s, nil
}

// Mount adds a page: a pattern of http.ServeMux with its method, and what answers. It must
// come before Serve. Bodies of requests are at most 1 MiB; see MountLarge.
func (s *Server) Mount(pattern string, h http.Handler) {
	s.mux.Handle(pattern, s.timed(pattern, h))
}

// MountLarge adds a page that takes bodies of up to size bytes from people with a session.
func (s *Server) MountLarge(pattern string, size int64, h http.Handler) {
	s.bodies[pattern] = size
	s.Mount(pattern, h)
}

// timed measures how long a page takes.
func (s *Server) timed(pattern string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.opts.Clock()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(rec, r)
		class := fmt.Sprintf("%dxx", rec.status/100)
		s.took.WithLabelValues(pattern, class).Observe(s.opts.Clock().Sub(start).Seconds())
	})
}

// A recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Root returns the handler of all pages, with every protection. Tests use it without TLS.
func (s *Server) Root() http.Handler {
	return s.caught(s.hosts(s.headers(s.visited(s.guarded(s.mux)))))
}

// Serve answers what ln accepts until Shutdown.
func (s *Server) Serve(_ context.Context, ln net.Listener) error {
	err := s.http.ServeTLS(gate{ln, s.crowd}, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown ends the server; what is being answered is answered until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// caught keeps a fault of one page from ending more than its answer.
func (s *Server) caught(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.opts.Log.Error("a page failed", "page", r.Pattern, "err", fmt.Sprint(p))
				panic(http.ErrAbortHandler) // the answer may be half out: cut it off
			} else if p != nil {
				panic(p)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// hosts refuses requests for hosts that are none of ours: their links and redirects would
// lead people to a stranger.
func (s *Server) hosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.isOurs(r) {
			http.Error(w, "Diese Adresse gehört nicht zu diesem Server. Geben Sie die Adresse von Ihrem Blatt ein.\n"+
				"This address does not belong to this server. Type the address from your sheet.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs reports whether a request names this server: by a name of the certificate, or by
// the address at which the connection arrived.
func (s *Server) isOurs(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if tcp, ok := local.(*net.TCPAddr); ok {
		if ip := net.ParseIP(host); ip != nil {
			return ip.Equal(tcp.IP) || s.certified(host)
		}
		if host == "localhost" && tcp.IP.IsLoopback() {
			return true
		}
	}
	return s.certified(host)
}

// certified reports whether the certificate is for a host.
func (s *Server) certified(host string) bool {
	return s.opts.Leaf != nil && s.opts.Leaf().VerifyHostname(host) == nil
}
