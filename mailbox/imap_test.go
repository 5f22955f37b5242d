package mailbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"doppelboden"
	"doppelboden/test/peer"
)

// ids makes the ids of the tests' mails.
var ids doppelboden.IDs

// trace is a mail that came through us.
func trace(id doppelboden.ID, body string) []byte {
	return []byte("Received: from x (x [192.0.2.1])\r\n\tby mx.stadt.example (Doppelboden) with ESMTPS id " + id.String() +
		"\r\n\tfor <amt@stadt.example>;\r\n\tSun, 22 Nov 2026 12:00:00 +0000\r\nSubject: x\r\n\r\n" + body)
}

// asMail is a mail to be appended.
func asMail(text []byte, date time.Time, flags ...string) Mail {
	return Mail{Date: date, Flags: flags, Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
}

// owner is a mailbox of the tests.
func owner(local string) doppelboden.Address {
	return doppelboden.Address{Local: local, Domain: "stadt.example"}
}

// backendTo returns a backend to a Dovecot of the tests; change changes its options.
func backendTo(t *testing.T, addr string, change func(*IMAPOptions)) *IMAP {
	t.Helper()
	o := IMAPOptions{Addr: addr, User: peer.DovecotMaster, Password: func() (string, error) { return peer.DovecotPassword, nil },
		Inbox: "INBOX", AtOnce: 2, Timeout: 20 * time.Second}
	if change != nil {
		change(&o)
	}
	m, err := NewIMAP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// opened opens a mailbox and selects a folder.
func opened(t *testing.T, m *IMAP, local, folder string) (Session, Folder) {
	t.Helper()
	s, err := m.Open(t.Context(), owner(local))
	if err != nil {
		t.Fatalf("open %s: %v", local, err)
	}
	t.Cleanup(func() { s.Close() })
	f, err := s.Select(t.Context(), folder)
	if err != nil {
		t.Fatalf("select %q of %s: %v", folder, local, err)
	}
	return s, f
}

// lies returns what lies in a folder.
func lies(t *testing.T, s Session, from uint32) (all []Seen) {
	t.Helper()
	if err := s.Seen(t.Context(), from, func(m Seen) error { all = append(all, m); return nil }); err != nil {
		t.Fatalf("look: %v", err)
	}
	return all
}

// isCode checks an error's class.
func isCode(t *testing.T, what string, err error, want doppelboden.Code) {
	t.Helper()
	if err == nil || doppelboden.CodeOf(err) != want {
		t.Errorf("%s: error %v with code %v, want %v", what, err, doppelboden.CodeOf(err), want)
	}
}

// TestAgainstDovecot has one Dovecot for all its parts: it needs a second to start.
func TestAgainstDovecot(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.LMTPProgram, peer.IMAPProgram, peer.SieveProgram)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := peer.WriteCertificate(cert, key, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, u := range []string{"amt", "b", "full", "folders", "many", "pool", "seen", "all", "crowded"} {
		users = append(users, u+"@stadt.example")
	}
	d := peer.For(t, peer.Dovecot{Users: users, Certificate: cert, Key: key, QuotaKB: 2000, Quiet: true})
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(cert)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate", err)
	}
	verified := func(o *IMAPOptions) { o.TLS = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"} }

	t.Run("what is appended is found with its date and seen by nobody", func(t *testing.T) { appendAndFind(t, backendTo(t, d.IMAP(), verified)) })
	t.Run("both ways to log in lead into the mailbox", func(t *testing.T) {
		for _, sep := range []string{"", "*"} {
			opened(t, backendTo(t, d.IMAP(), func(o *IMAPOptions) { o.Separator = sep }), "b", "")
		}
	})
	t.Run("a log-in that is refused, a mailbox that is missing, a certificate of somebody else", func(t *testing.T) {
		refusals(t, d.IMAP())
	})
	t.Run("odd folders are listed and opened", func(t *testing.T) { oddFolders(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("a full mailbox is a temporary no and nothing is in doubt", func(t *testing.T) { fullMailbox(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("several mails are put into a folder at once", func(t *testing.T) { allAtOnce(t, backendTo(t, d.IMAP(), verified)) })
	t.Run("of several mails that do not fit none is there", func(t *testing.T) { allRefused(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("of several mails that were broken off none is there", func(t *testing.T) { cutOffBetweenMails(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("a folder of many is read in parts", func(t *testing.T) { manyMails(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("connections are bounded, kept and given up for others", func(t *testing.T) { pooled(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("what lies in a folder is moved into the inbox", func(t *testing.T) { movesHome(t, backendTo(t, d.IMAP(), nil)) })
	t.Run("a caller who leaves is not kept", func(t *testing.T) {
		s, _ := opened(t, backendTo(t, d.IMAP(), nil), "b", "")
		ctx, cancel := context.WithCancel(t.Context())
		text := trace(ids.New(time.Now()), strings.Repeat("x", 10000))
		m := asMail(text, time.Now())
		m.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(text[:5000]), leaving{cancel})), nil
		}
		if _, err := s.Append(ctx, []Mail{m}); err == nil {
			t.Error("no error for a caller who has left")
		}
		if _, err := s.Select(t.Context(), ""); err == nil {
			t.Error("a session went on after it was cut off")
		}
	})
	t.Run("a mail that ends too early is not there", func(t *testing.T) {
		m := backendTo(t, d.IMAP(), nil)
		s, before := opened(t, m, "b", "")
		short := asMail(trace(ids.New(time.Now()), "x"), time.Now())
		short.Size += 5000
		uids, err := s.Append(t.Context(), []Mail{short})
		if err == nil || InDoubt(err) || len(uids) > 0 {
			t.Errorf("uids %v and error %v (in doubt: %v), want none and a clear error", uids, err, InDoubt(err))
		}
		s.Close()
		if _, after := opened(t, m, "b", ""); after.Exists != before.Exists {
			t.Errorf("%d mails afterwards, want %d", after.Exists, before.Exists)
		}
	})
}

// leaving is a reader during which the caller leaves.
type leaving struct{ cancel func() }

// Read waits until the connection is gone, or long enough to show that it stays.
func (l leaving) Read([]byte) (int, error) {
	l.cancel()
	return 0, errors.New("the caller has left")
}

func appendAndFind(t *testing.T, m *IMAP) {
	s, empty := opened(t, m, "amt", "")
	if empty.Exists != 0 || empty.Next != 1 || empty.Validity == 0 {
		t.Errorf("an empty folder is %+v", empty)
	}
	date := time.Date(2026, 8, 30, 23, 30, 0, 0, time.UTC) // older than the ids: the search must not miss it
	old := new(doppelboden.IDs).New(date)                  // ids only makes newer ones
	a, b, other := ids.New(time.Now()), ids.New(time.Now()), ids.New(time.Now())
	// The second mail holds an older id of ours below our line, as somebody may have forged.
	forged := slices.Concat(trace(b, ""), nil)
	forged = slices.Concat([]byte("Received: by dovecot.stadt.example with LMTP id abc; now\r\n"), forged[:bytes.Index(forged, []byte("Subject"))], trace(other, "8 bit: \xfc\r\n"))
	big := trace(a, strings.Repeat("0123456789abcdef\r\n", 20000))
	mails := []Mail{asMail(big, date), asMail(forged, time.Now(), `\Seen`), asMail([]byte("Subject: stranger\r\n\r\n\r\n"), date), asMail(trace(old, ""), date)}
	uids, err := s.Append(t.Context(), mails)
	if err != nil || !slices.Equal(uids, []uint32{1, 2, 3, 4}) {
		t.Fatalf("appended with UIDs %v: %v", uids, err)
	}
	all := lies(t, s, 1)
	want := []Seen{{1, a, int64(len(big)), date}, {2, b, int64(len(forged)), all[1].Date}, {3, doppelboden.ID{}, mails[2].Size, date}, {4, old, mails[3].Size, date}}
	if !slices.Equal(all, want) {
		t.Errorf("lies there:\n%v\nwant\n%v", all, want)
	}
	if since := time.Since(all[1].Date); since < -time.Minute || since > time.Hour {
		t.Errorf("the date of a mail of now is %v", all[1].Date)
	}
	if tail := lies(t, s, 3); !slices.Equal(tail, want[2:]) {
		t.Errorf("from UID 3: %v, want %v", tail, want[2:])
	}
	if none := lies(t, s, 5); len(none) > 0 {
		t.Errorf("from UID 5: %v, want none", none)
	}
	found, err := s.Find(t.Context(), []doppelboden.ID{other, b, old})
	if err != nil || len(found) != 2 || found[b] != want[1] || found[old] != want[3] {
		t.Errorf("found %v (%v), want %s and %s", found, err, b, old)
	}
	s.Close()
	// Nobody has marked anything.
	s, f := opened(t, m, "amt", "INBOX")
	if f != (Folder{empty.Validity, 5, 4}) {
		t.Errorf("the folder is %+v", f)
	}
	link := s.(*session).link
	link.wire.arm(10*time.Second, small)
	unseen := 0
	status, err := link.client.Status("INBOX", &imap.StatusOptions{NumUnseen: true}).Wait()
	if err == nil && status.NumUnseen != nil {
		unseen = int(*status.NumUnseen)
	}
	if err != nil || unseen != 3 {
		t.Errorf("%d mails are unseen (%v), want 3", unseen, err)
	}
}

func refusals(t *testing.T, addr string) {
	wrong := backendTo(t, addr, func(o *IMAPOptions) { o.Password = func() (string, error) { return "falsch", nil } })
	_, err := wrong.Open(t.Context(), owner("amt"))
	isCode(t, "a wrong password", err, doppelboden.Policy)
	if err != nil && strings.Contains(err.Error(), "falsch") {
		t.Errorf("the password is told: %v", err)
	}
	unread := backendTo(t, addr, func(o *IMAPOptions) { o.Password = func() (string, error) { return "", errors.New("no file") } })
	_, err = unread.Open(t.Context(), owner("amt"))
	isCode(t, "a password that cannot be read", err, doppelboden.Temporary)
	strict := backendTo(t, addr, func(o *IMAPOptions) { o.TLS = &tls.Config{ServerName: "127.0.0.1"} })
	_, err = strict.Open(t.Context(), owner("amt"))
	isCode(t, "a certificate of nobody we know", err, doppelboden.Temporary)
	closed, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	_, err = backendTo(t, closed, nil).Open(t.Context(), owner("amt"))
	isCode(t, "nobody listens", err, doppelboden.Temporary)

	m := backendTo(t, addr, nil)
	_, err = m.Open(t.Context(), owner("nobody"))
	isCode(t, "a missing mailbox, while nobody knows that we may log in", err, doppelboden.Policy)
	opened(t, m, "b", "")
	_, err = m.Open(t.Context(), owner("nobody"))
	isCode(t, "a missing mailbox", err, doppelboden.NotFound)
	s, _ := opened(t, m, "amt", "")
	_, err = s.Select(t.Context(), "Keiner/Hier")
	isCode(t, "a missing folder", err, doppelboden.NotFound)
	_, err = s.Append(t.Context(), []Mail{asMail([]byte("x"), time.Now())})
	isCode(t, "append without a folder", err, doppelboden.Invalid)
}

func oddFolders(t *testing.T, m *IMAP) {
	s, _ := opened(t, m, "folders", "")
	names := []string{"Entwürfe", "Ablage/2026/März", `mit "Zeichen" & %`, "日本", strings.Repeat("lang", 40)}
	link := s.(*session).link
	for _, n := range names {
		link.wire.arm(10*time.Second, small)
		if err := link.client.Create(strings.ReplaceAll(n, "/", "."), nil).Wait(); err != nil {
			t.Fatalf("create %s: %v", n, err)
		}
	}
	got, err := s.Folders(t.Context(), 100)
	for _, n := range append(names, "INBOX") {
		if err != nil || !slices.Contains(got, n) {
			t.Errorf("folders %q (%v) lack %q", got, err, n)
		}
	}
	if len(got) == 0 || got[0] != "INBOX" {
		t.Errorf("folders %q do not begin with the inbox", got)
	}
	for _, n := range names {
		if _, err := s.Select(t.Context(), n); err != nil {
			t.Errorf("select %q: %v", n, err)
		}
		if uids, err := s.Append(t.Context(), []Mail{asMail(trace(ids.New(time.Now()), n), time.Now())}); err != nil || len(uids) != 1 {
			t.Errorf("append to %q: %v %v", n, uids, err)
		}
	}
	if got, err := s.Folders(t.Context(), 2); err != nil || len(got) != 2 {
		t.Errorf("%d folders (%v), want 2", len(got), err)
	}
	// A new session does not know what the server calls them.
	s.Close()
	if s, f := opened(t, m, "folders", "Ablage/2026/März"); f.Exists != 1 || len(lies(t, s, 1)) != 1 {
		t.Errorf("the folder is %+v, want one mail", f)
	}
}

func fullMailbox(t *testing.T, m *IMAP) {
	s, _ := opened(t, m, "full", "")
	fits := asMail(trace(ids.New(time.Now()), strings.Repeat("x", 1_500_000)), time.Now())
	uids, err := s.Append(t.Context(), []Mail{fits, fits, fits})
	if len(uids) != 1 || InDoubt(err) {
		t.Errorf("UIDs %v, in doubt %v, want the first alone and no doubt", uids, InDoubt(err))
	}
	isCode(t, "beyond the quota", err, doppelboden.Temporary)
}

func manyMails(t *testing.T, m *IMAP) {
	s, _ := opened(t, m, "many", "")
	var mails []Mail
	var all []doppelboden.ID
	for i := range 450 {
		all = append(all, ids.New(time.Now()))
		mails = append(mails, asMail(trace(all[i], fmt.Sprint(i)), time.Now()))
	}
	start := time.Now()
	if uids, err := s.Append(t.Context(), mails); err != nil || len(uids) != len(mails) {
		t.Fatalf("%d UIDs: %v", len(uids), err)
	}
	t.Logf("%d mails appended in %v", len(mails), time.Since(start))
	if got := lies(t, s, 1); len(got) != 450 || got[449].ID != all[449] || got[200].ID != all[200] {
		t.Errorf("%d mails, want 450 in order", len(got))
	}
	for _, want := range [][]doppelboden.ID{all, all[:1], all[449:]} {
		if found, err := s.Find(t.Context(), want); err != nil || len(found) != len(want) {
			t.Errorf("found %d of %d: %v", len(found), len(want), err)
		}
	}
	enough := errors.New("enough")
	if err := s.Seen(t.Context(), 1, func(Seen) error { return enough }); err != enough {
		t.Errorf("a yield's error became %v", err)
	}
}

func pooled(t *testing.T, m *IMAP) {
	a, _ := opened(t, m, "pool", "")
	b, _ := opened(t, m, "b", "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := m.Open(ctx, owner("amt"))
	isCode(t, "a third connection", err, doppelboden.Temporary)
	first := a.(*session).link
	a.Close()
	a.Close()
	again, _ := opened(t, m, "pool", "")
	if again.(*session).link != first {
		t.Error("a second look at the same mailbox made a new connection")
	}
	again.Close()
	c, _ := opened(t, m, "amt", "") // the idle one goes
	b.Close()
	c.Close()
	// Who waits gets the connection of the next session that ends, and not only when nobody
	// has wanted it for a while.
	d, _ := opened(t, m, "pool", "")
	e, _ := opened(t, m, "b", "")
	got := make(chan error, 1)
	go func() {
		s, err := m.Open(t.Context(), owner("seen"))
		if err == nil {
			err = s.Close()
		}
		got <- err
	}()
	for waits := 0; waits == 0; { // there is no event for "it waits"
		m.mu.Lock()
		waits = m.wanted
		m.mu.Unlock()
	}
	start := time.Now()
	d.Close()
	if err := <-got; err != nil || time.Since(start) > idleLimit/2 {
		t.Errorf("who waited got a connection after %v: %v", time.Since(start), err)
	}
	e.Close()
	if n := len(m.slots); n != 2 || len(m.idle) != 2 {
		t.Errorf("%d slots and %d idle connections, want 2 and 2", n, len(m.idle))
	}
	m.Close()
	if n := len(m.slots); n != 0 {
		t.Errorf("%d slots after Close, want none", n)
	}
}
