package folder

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	// sameID is how long a sending that was begun here goes on with the same message: the
	// landing knows one again that was not sure for as long.
	sameID = time.Hour
	// elsewhere is how long another node that was about to send may take until what it
	// accepted is in the database. After that nobody believes that it accepted anything.
	elsewhere = 10 * time.Minute
	// keepKeys is how long a key is known: longer than anybody keeps a page open.
	keepKeys = 7 * 24 * time.Hour
)

// errInDoubt is the answer while nobody can know whether a mail was sent.
var errInDoubt = &doppelboden.Error{Code: doppelboden.Temporary, Public: "another server was about to send this mail, and it is not known yet whether it did; please look into your sent mail in some minutes"}

// NewKey returns a key for Outgoing.Key. A page makes one for every mail that is written,
// and sends it along with every try.
func (b *Box) NewKey() string { return rand.Text() }

// keyOf returns a key as the store knows it.
func (b *Box) keyOf(key string) (k [16]byte) {
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", b.mailbox, key))
	copy(k[:], sum[:])
	return k
}

// begin notes that a mail with a key is about to be sent, and returns as which message, and
// whether it was sent before.
func (b *Box) begin(ctx context.Context, key string) (id doppelboden.ID, again bool, err error) {
	id = b.room.opts.Intake.NewID()
	if key == "" {
		return id, false, nil
	}
	s := store.Sending{Tenant: b.tenant, Mailbox: b.mailbox, Key: b.keyOf(key), Message: id, Node: b.room.opts.Node, At: b.now()}
	was, err := b.room.opts.Store.PutSending(ctx, s, doppelboden.ID{})
	if err != nil {
		return id, false, fmt.Errorf("note what is to be sent: %w", err)
	}
	if was.Message == id {
		return id, false, nil
	}
	if sent, err := b.wasSent(ctx, was.Message); sent || err != nil {
		return was.Message, sent, err
	}
	switch age := b.now().Sub(was.At); {
	case was.Node == s.Node && age < sameID:
		return was.Message, false, nil
	case was.Node != s.Node && age < elsewhere:
		return id, false, errInDoubt
	}
	if was, err = b.room.opts.Store.PutSending(ctx, s, was.Message); err != nil {
		return id, false, fmt.Errorf("note what is to be sent: %w", err)
	}
	if was.Message != id {
		return id, false, errInDoubt // somebody else was quicker
	}
	return id, false, nil
}

// wasSent reports whether a message is there: its copy lies among the sent mail, or its
// sender has moved it since.
func (b *Box) wasSent(ctx context.Context, id doppelboden.ID) (bool, error) {
	if err := b.room.opts.CatchUp(ctx); err != nil {
		return false, fmt.Errorf("find out whether the mail was sent: %w", err)
	}
	_, err := b.room.opts.Store.Message(ctx, id)
	if doppelboden.CodeOf(err) == doppelboden.NotFound && err != nil {
		return false, nil
	}
	return err == nil, err
}

// Forget removes keys that nobody will use any more. It is to be called now and then.
func (r *Room) Forget(ctx context.Context) error {
	for {
		n, err := r.opts.Store.DropSendings(ctx, r.opts.Clock().Add(-keepKeys), 1000)
		if err != nil || n == 0 {
			return err
		}
	}
}

// keys lets one call at a time work with a key: a double click waits for the first one.
type keys struct {
	mu   sync.Mutex
	busy map[[16]byte]chan struct{} // closed when the key is free
}

func (k *keys) lock(key [16]byte) {
	for {
		k.mu.Lock()
		wait, taken := k.busy[key]
		if !taken {
			if k.busy == nil {
				k.busy = map[[16]byte]chan struct{}{}
			}
			k.busy[key] = make(chan struct{})
			k.mu.Unlock()
			return
		}
		k.mu.Unlock()
		<-wait
	}
}

func (k *keys) unlock(key [16]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.busy[key])
	delete(k.busy, key)
}
