package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// People lets people in and knows whose mailboxes they may open; see account.Room.
type People interface {
	LogIn(ctx context.Context, a account.Attempt) (account.Login, error)
	// Still reports whether what let a program in (account.Login.Way) is good.
	Still(ctx context.Context, p account.PersonID, way int64) (bool, error)
	Grants(ctx context.Context, p account.PersonID) ([]account.Grant, error)
	Open(t doppelboden.TenantID, door string) bool
	// Opened tells that somebody looks into a mailbox.
	Opened(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID)
}

// A Mailbox is one mailbox as one person uses it; see folder.Box for what the methods
// promise.
type Mailbox interface {
	Folders(ctx context.Context) ([]store.Folder, error)
	Look(ctx context.Context, folder int64) (store.Folder, error)
	Shown(ctx context.Context, folder int64, f store.ShownFilter, yield func(store.Shown) error) error
	PutFolder(ctx context.Context, f store.Folder) (store.Folder, error)
	DropFolder(ctx context.Context, folder int64) error
	Change(ctx context.Context, list []store.Change) ([][]store.Changed, error)
	Watch() (changed <-chan struct{}, stop func())
	Append(ctx context.Context, folder int64, flags uint32, date time.Time, size int64, r io.Reader) (at store.Place, uid uint32, err error)
	// Open opens a mail. The code of its error is NotFound, or Policy for a mail that
	// nobody may read yet.
	Open(ctx context.Context, id doppelboden.ID) (Mail, error)
	// Several opens mails of a folder in the order of their UIDs, which rise; those that are
	// not there are passed over. An error of yield ends it and is returned.
	Several(ctx context.Context, folder int64, uids []uint32, yield func(uid uint32, m Mail, err error) error) error
}

// A Mail is one mail as people see it.
type Mail interface {
	Len() int64                     // of what Reader reads, in bytes
	Reader() (io.ReadCloser, error) // from the beginning, as often as it is asked
	Text() []byte                   // all of it where it is in memory, which nobody may change; else nil
	Free()                          // gives its memory back: nothing that was got of it may be used any more
}

// Options say what a Server is. Zero numbers mean the defaults that stand beside them.
type Options struct {
	TLS      *tls.Config // the certificate; required
	People   People      // required
	Log      *slog.Logger
	Registry prometheus.Registerer // nil: nothing is counted
	Clock    func() time.Time      // for intervals, not for sockets; nil: time.Now
	// Mailbox opens a mailbox; by says who does. Required.
	Mailbox func(t doppelboden.TenantID, m doppelboden.MailboxID, by string) Mailbox

	// Holds knows of the texts of mails without opening them; nil: SEARCH opens each mail.
	Holds Holds

	// MaxSize bounds an appended mail, in bytes: 50 MB, as SMTP does.
	MaxSize int64
	// MaxConnections bounds all connections: 20,000. An idle one costs some 40 KB.
	MaxConnections int
	// MaxPerPerson bounds those of one person: 40. Outlook and Thunderbird keep up to five
	// each, phones more, and a person may have three machines.
	MaxPerPerson int
	// MaxWaiting bounds connections that have not logged in: 1,000; and MaxWaitingPerAddress
	// those of one IPv4 address or IPv6 /64: 200, for a town hall comes from one address.
	MaxWaiting, MaxWaitingPerAddress int
	// LoginTime is how long a connection may take until it has logged in: 1 minute.
	LoginTime time.Duration
	// IdleTime is how long a logged-in client may say nothing: 35 minutes. RFC 9051, section
	// 5.4, asks for at least 30.
	IdleTime time.Duration
	// CommandTime is how long the rest of a begun command may say nothing: 1 minute.
	CommandTime time.Duration
	// WriteTime is how long a client may take nothing, or less than 64 KB, of what it asked
	// for: 2 minutes.
	WriteTime time.Duration
	// Recheck is how often rights are asked for again while somebody works: 1 minute.
	Recheck time.Duration
	// Memory bounds what great mails in work take at the same moment, of all sessions: 128 MB.
	// The sessions of one person have a fifth of it, or one mail that is greater, and mails of
	// up to 1 MB besides.
	// Of mails that came in memory (Mail.Text) each session has at most 1.5 MB besides, and
	// what package folder lends for great ones.
	Memory int64
}

// validate fills in defaults and says what is missing or contradicts itself.
func (o *Options) validate() error {
	if o.TLS == nil || o.People == nil || o.Mailbox == nil {
		return errors.New("imapd: Options.TLS, People and Mailbox must be set")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return errors.Join(
		number("MaxSize", &o.MaxSize, 50<<20),
		number("MaxConnections", &o.MaxConnections, 20_000),
		number("MaxPerPerson", &o.MaxPerPerson, 40),
		number("MaxWaiting", &o.MaxWaiting, 1_000),
		number("MaxWaitingPerAddress", &o.MaxWaitingPerAddress, 200),
		number("LoginTime", &o.LoginTime, time.Minute),
		number("IdleTime", &o.IdleTime, 35*time.Minute),
		number("CommandTime", &o.CommandTime, time.Minute),
		number("WriteTime", &o.WriteTime, 2*time.Minute),
		number("Recheck", &o.Recheck, time.Minute),
		number("Memory", &o.Memory, 128<<20),
	)
}

// number puts the default in the place of a zero and refuses what is negative.
func number[T ~int | ~int64](name string, v *T, standard T) error {
	if *v == 0 {
		*v = standard
	}
	if *v < 0 {
		return fmt.Errorf("imapd: Options.%s is negative", name)
	}
	return nil
}
