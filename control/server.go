package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"doppelboden"
)

// A Server answers the commands of one node.
type Server struct {
	desk   *Desk
	log    *slog.Logger
	socket *socket
	http   *http.Server
	done   sync.WaitGroup
}

// maxBody bounds what a request may bring; a list of a million mailboxes is below.
const maxBody = 256 << 20

// Start listens at the control socket in the data folder and answers until Stop. The
// code is Invalid when a living node has this folder.
func Start(data string, desk *Desk, log *slog.Logger) (*Server, error) {
	socket, err := listen(data)
	if err != nil {
		return nil, err
	}
	s := &Server{desk: desk, log: log, socket: socket}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peer(c))
		},
	}
	s.done.Go(func() {
		if err := s.http.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket closed", "err", err)
		}
	})
	return s, nil
}

// Stop takes no more requests, waits for those that run until ctx ends, and cuts the
// rest.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	s.done.Wait()
	s.socket.release()
	if err != nil {
		return fmt.Errorf("stop the control socket: %w", err)
	}
	return nil
}

// peerKey is under which a connection's context holds the unix user.
type peerKey struct{}

// A call is one request while it is answered.
type call struct {
	by    string     // the unix user
	query url.Values // parameters
	body  io.Reader
	out   *json.Encoder
	http  *http.ResponseController
	next  time.Time // when items are flushed again
}

// A handler answers a call with items, progress and a result.
type handler func(ctx context.Context, c *call) (result any, err error)

// routes binds every request to its handler.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /status":             s.desk.status,
		"GET /mailboxes":          s.desk.listMailboxes,
		"POST /mailboxes":         s.desk.addMailbox,
		"POST /mailboxes/import":  s.desk.importMailboxes,
		"GET /mailboxes/show":     s.desk.showMailbox,
		"POST /mailboxes/remove":  s.desk.removeMailbox,
		"POST /mailboxes/refresh": s.desk.refresh,
		"POST /mailboxes/assign":  s.desk.assign,
		"GET /mailboxes/modes":    s.desk.listModes,
		"POST /mailboxes/modes":   s.desk.setMode,
		"GET /mailboxes/deeds":    s.desk.listDeeds,
		"GET /mailboxes/coverage": s.desk.listCoverage,
		"POST /mailboxes/sync":    s.desk.sync,
		"GET /queue":              s.desk.listQueue,
		"POST /queue":             s.desk.decide,
		"GET /queue/groups":       s.desk.listGroups,
		"GET /message":            s.desk.story,
		"GET /balance":            s.desk.balance,
		"GET /events":             s.desk.listEvents,
		"GET /events/show":        s.desk.showEvent,
		"POST /events/plan":       s.desk.planMaintenance,
		"POST /events/note":       s.desk.noteEvent,
		"POST /events/close":      s.desk.closeEvent,
		"POST /events/attack":     s.desk.openAttack,
		"POST /events/release":    s.desk.release,
		"GET /ledger/verify":      s.desk.verifyLedger,
		"GET /ledger/export":      s.desk.exportLedger,
		"GET /senders":            s.desk.listSenders,
		"GET /keys":               s.desk.listKeys,
		"POST /keys/tenant":       s.desk.rotateKey,
		"POST /keys/master":       s.desk.rotateMaster,
		"POST /backup":            s.desk.backup,
		"POST /salvage":           s.desk.salvage,
		"POST /replay":            s.desk.replay,
		"GET /replay":             s.desk.listReplays,
		"POST /replay/stop":       s.desk.stopReplay,
		"GET /readback":           s.desk.reading,
		"POST /config/plan":       s.desk.planConfig,
		"POST /config/apply":      s.desk.applyConfig,
		"GET /config/history":     s.desk.configHistory,
		"GET /config/text":        s.desk.configText,
		"GET /tenants":            s.desk.listTenants,
		"POST /accounts/codes":    s.desk.codes,
		"POST /accounts/revoke":   s.desk.revokeCodes,
		"POST /accounts/sms":      s.desk.sendCode,
		"POST /accounts/password": s.desk.setPassword,
		"GET /accounts/show":      s.desk.showAccount,
		"POST /accounts/end":      s.desk.revokeWay,
		"POST /accounts/end/all":  s.desk.revokeAll,
		"GET /accounts/readiness": s.desk.readiness,
		"GET /accounts/members":   s.desk.listMembers,
		"POST /accounts/members":  s.desk.changeMembers,
		"GET /accounts/roles":     s.desk.listRoles,
		"POST /accounts/roles":    s.desk.changeRole,
		"POST /accounts/doors":    s.desk.openDoors,
		"POST /tenants":           s.desk.changeStanding,
		"GET /routes":             s.desk.listRoutes,
		"GET /ways":               s.desk.listWays,
		"POST /ways":              s.desk.moveMailboxes,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, pattern, h) })
	}
	return mux
}

// flushEvery is how long items may wait in a buffer: a person looks at them.
const flushEvery = 200 * time.Millisecond

// answer carries out one request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, pattern string, h handler) {
	by, _ := r.Context().Value(peerKey{}).(string)
	if by == "" {
		http.Error(w, "the system does not say who you are", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	c := &call{
		by: by, query: r.URL.Query(), body: http.MaxBytesReader(w, r.Body, maxBody),
		out: json.NewEncoder(w), http: http.NewResponseController(w),
	}
	var result any
	err := s.desk.there(pattern)
	if err == nil {
		result, err = h(r.Context(), c)
	}
	if err != nil {
		level := slog.LevelInfo // the person is told
		if doppelboden.CodeOf(err) == doppelboden.Temporary && r.Context().Err() == nil {
			level = slog.LevelWarn
		}
		s.log.Log(r.Context(), level, "command failed", "command", r.Method+" "+r.URL.Path, "by", by, "err", err)
		c.write(line{Error: describe(err)})
		return
	}
	text, err := json.Marshal(result)
	if err != nil {
		c.write(line{Error: describe(fmt.Errorf("write the answer: %w", err))})
		return
	}
	c.write(line{Result: text})
}

// write sends one line. Its error means that nobody listens any more.
func (c *call) write(l line) error {
	if err := c.out.Encode(l); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// item sends one element of a list.
func (c *call) item(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if err := c.write(line{Item: text}); err != nil {
		return err
	}
	if now := time.Now(); now.After(c.next) {
		c.next = now.Add(flushEvery)
		return c.flush()
	}
	return nil
}

// patience bounds how long a terminal may not read, so that a stopped command holds
// nothing for ever.
const patience = time.Minute

// flush gives what is buffered to the client.
func (c *call) flush() error {
	if err := c.http.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if err := c.http.Flush(); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// progress tells how far the command has come. Who no longer listens is noticed by the
// next item or by the request's context.
func (c *call) progress(p Progress) {
	if c.write(line{Progress: &p}) == nil {
		_ = c.flush()
	}
}
