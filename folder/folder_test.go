package folder

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const letter = "From: Anna <anna@stadt.example>\r\nTo: eva@example.org\r\nSubject: Termin\r\n\r\nGuten Tag\r\n"

func TestANewMailboxHasTheFoldersThatPeopleKnow(t *testing.T) {
	w := openTown(t)
	list, err := w.box().Folders(ctx)
	w.must(err)
	var got []string
	for _, f := range list {
		got = append(got, f.Name+" "+string(f.Use))
	}
	want := []string{"INBOX inbox", "Entwürfe drafts", "Gesendet sent", "Archiv archive", "Spam junk", "Papierkorb trash"}
	if !slices.Equal(got, want) {
		t.Errorf("folders %q, want %q", got, want)
	}
	again, err := w.box().Folders(ctx)
	w.must(err)
	if len(again) != len(want) {
		t.Errorf("the second time there are %d folders, want %d", len(again), len(want))
	}
	if _, err := w.room.Open(w.anna.Tenant, 4711, "x").Folders(ctx); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("a mailbox that nobody has: %v, want not_found", err)
	}
}

func TestAFolderWithAUsualNameIsUsedAndNotMadeTwice(t *testing.T) {
	w := openTown(t)
	_, err := w.db.PutFolder(ctx, store.Folder{Place: w.box().place(0), Name: "Papierkorb"})
	w.must(err)
	_, err = w.db.PutFolder(ctx, store.Folder{Place: w.box().place(0), Name: "Gesendete Elemente", Use: store.UseSent})
	w.must(err)
	if got := w.folderOf(w.box(), store.UseTrash).Name; got != "Papierkorb" {
		t.Errorf("deleted mail lies in %q", got)
	}
	if got := w.folderOf(w.box(), store.UseSent).Name; got != "Gesendete Elemente" {
		t.Errorf("sent mail lies in %q", got)
	}
}

func TestAMailIsReadAsTheGroupwareWouldGetIt(t *testing.T) {
	w := openTown(t)
	for _, size := range []int{0, 600 << 10} {
		text := "Subject: x\r\nAuthentication-Results: mx.stadt.example; spf=pass\r\nTo: anna\r\n\r\n" + strings.Repeat("zeile\r\n", size/7)
		id := w.arrive("anna@stadt.example", text)
		got := w.read(w.box(), id)
		if strings.Contains(got, "Authentication-Results") || !strings.HasPrefix(got, "Received: from") || !strings.HasSuffix(got, text[strings.Index(text, "To: anna"):]) {
			t.Errorf("a mail of %d bytes is read with %d; it begins %q", len(text), len(got), got[:200])
		}
	}
}

func TestMailThatNobodyMayReadYetIsListedAndNotOpened(t *testing.T) {
	w := openTown(t)
	for state, want := range map[doppelboden.ScanState]error{doppelboden.Unscanned: ErrUnscanned, doppelboden.Malware: ErrMalware, doppelboden.Spam: nil, doppelboden.Clean: nil} {
		w.scan = state
		id := w.arrive("anna@stadt.example", "Subject: x\r\n\r\n")
		if !slices.ContainsFunc(w.list(w.box(), store.UseInbox), func(s store.Shown) bool { return s.Message == id && s.Scan == state }) {
			t.Errorf("a mail that is %v is not listed as such", state)
		}
		_, err := w.box().Open(ctx, id)
		if !errors.Is(err, want) || want != nil && doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("a mail that is %v: %v, want %v", state, err, want)
		}
	}
}

func TestAMailOfOthersIsNotOpened(t *testing.T) {
	w := openTown(t)
	id := w.arrive("bert@stadt.example", "Subject: x\r\n\r\n")
	for _, b := range []*Box{w.box(), w.room.Open(w.carl.Tenant, w.carl.ID, "x"), w.room.Open(w.carl.Tenant, w.bert.ID, "x")} {
		if _, err := b.Open(ctx, id); doppelboden.CodeOf(err) != doppelboden.NotFound || err == nil {
			t.Errorf("mailbox %d of tenant %d opens a mail of mailbox %d: %v", b.mailbox, b.tenant, w.bert.ID, err)
		}
	}
}

func TestWhatIsAppendedLiesInItsFolderAsItWas(t *testing.T) {
	w := openTown(t)
	b := w.box()
	f := w.folderOf(b, store.UseArchive)
	at := time.Date(2025, 12, 24, 18, 0, 0, 0, time.UTC)
	place, uid, err := b.Append(ctx, f.Folder, doppelboden.Seen|doppelboden.Label2, at, -1, strings.NewReader("Subject: alt\n\nzeile\rzeile\x00\nende"))
	w.must(err)
	list := w.list(b, store.UseArchive)
	if len(list) != 1 || list[0].UID != uid || place.Folder != f.Folder || list[0].Flags != doppelboden.Seen|doppelboden.Label2 || !list[0].Date.Equal(at) {
		t.Fatalf("appended as %d in %v; the folder has %+v", uid, place, list)
	}
	const want = "Subject: alt\r\n\r\nzeile\r\nzeile\r\nende\r\n"
	if got := w.read(b, list[0].Message); got != want || list[0].Size != int64(len(want)) {
		t.Errorf("read %q with %d bytes, want %q with %d", got, list[0].Size, want, len(want))
	}
	if d := w.deliveries(); len(d) != 0 {
		t.Errorf("what lies in a folder goes to %+v", d)
	}
	var deeds []store.Deed
	w.must(w.db.Deeds(ctx, store.DeedFilter{}, func(d store.Deed) error { deeds = append(deeds, d); return nil }))
	if len(deeds) != 1 || deeds[0].Was != nil || deeds[0].Is == nil || deeds[0].Is.Use != store.UseArchive {
		t.Errorf("what goes back to the groupware: %+v, want the mail, of which it has nothing", deeds)
	}
	if _, _, err := b.Append(ctx, 99, 0, time.Time{}, -1, strings.NewReader("x")); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("into a folder that is not there: %v, want not_found", err)
	}
	endless := io.LimitReader(zeros{}, 5<<20)
	if _, _, err := b.Append(ctx, f.Folder, 0, time.Time{}, -1, endless); doppelboden.CodeOf(err) != doppelboden.TooLarge {
		t.Errorf("more than is allowed: %v, want too_large", err)
	}
}

// zeros reads as endless lines.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "0123456\r\n"[i%9]
	}
	return len(p), nil
}

func TestWhatIsMadeInAMailboxWithoutGroupwareGoesBackToNobody(t *testing.T) {
	w := openTown(t)
	w.here[w.anna.ID] = true
	b := w.box()
	_, err := b.SaveDraft(ctx, 0, strings.NewReader(letter), -1)
	w.must(err)
	_, err = b.Send(ctx, outgoing(letter, "eva@example.org"))
	w.must(err)
	w.arrive("anna@stadt.example", "Subject: x\r\n\r\n")
	in := w.list(b, store.UseInbox)
	_, err = b.Change(ctx, []store.Change{{Place: b.place(1), Action: store.ActMove, UIDs: []uint32{in[0].UID}, To: w.folderOf(b, store.UseTrash).Folder}})
	w.must(err)
	counts, err := w.db.DeedCounts(ctx)
	w.must(err)
	if len(counts) != 0 {
		t.Errorf("deeds of a mailbox that lies only here: %+v", counts)
	}
}

func TestASavedDraftReplacesTheOneBefore(t *testing.T) {
	w := openTown(t)
	b := w.box()
	first, err := b.SaveDraft(ctx, 0, strings.NewReader("Subject: a\r\n\r\n"), -1)
	w.must(err)
	second, err := b.SaveDraft(ctx, first, strings.NewReader("Subject: b\r\nBcc: bert@stadt.example\r\n\r\n"), -1)
	w.must(err)
	list := w.list(b, store.UseDrafts)
	if len(list) != 1 || list[0].UID != second || list[0].Flags != doppelboden.Draft|doppelboden.Seen {
		t.Fatalf("drafts %+v, want the second alone", list)
	}
	if got := w.read(b, list[0].Message); got != "Subject: b\r\nBcc: bert@stadt.example\r\n\r\n" {
		t.Errorf("the draft: %q", got)
	}
}

func TestAWatcherIsWokenByWhatCameAndWhatOthersDid(t *testing.T) {
	w := openTown(t)
	b := w.box()
	w.folderOf(b, store.UseSent) // made before anybody watches
	changed, stop := b.Watch()
	elsewhere, stopOther := w.room.Open(w.bert.Tenant, w.bert.ID, "person:2").Watch()
	defer stopOther()
	woken := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatalf("nobody was woken by %s", what)
		}
	}
	w.arrive("anna@stadt.example", "Subject: x\r\n\r\n")
	woken("a mail that came")
	w.list(b, store.UseInbox)
	_, err := w.box().Change(ctx, []store.Change{{Place: b.place(1), Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen}})
	w.must(err)
	woken("a flag")
	_, err = b.PutFolder(ctx, store.Folder{Name: "Bauantra\u0308ge"})
	w.must(err)
	woken("a new folder")
	select {
	case <-elsewhere:
		t.Error("another mailbox's watcher was woken")
	default:
	}
	stop()
	stop()
	w.room.Changed(w.anna.ID)
	select {
	case <-changed:
		t.Error("woken after the end")
	default:
	}
	if f, _ := b.folder(ctx, func(f *store.Folder) bool { return f.Name == "Bauanträge" }); f.Folder == 0 {
		t.Error("the name of a folder is not kept in its composed form")
	}
}

func TestWhatOtherNodesDidIsSeen(t *testing.T) {
	w := openTown(t)
	b := w.box()
	w.folderOf(b, store.UseSent)
	changed, stop := b.Watch()
	defer stop()
	seen := w.room.poll(ctx, nil)
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"a mail", func() { w.arrive("anna@stadt.example", "Subject: x\r\n\r\n") }},
		{"a look", func() { w.list(b, store.UseInbox) }},
		{"a folder", func() { _, err := w.db.PutFolder(ctx, store.Folder{Place: b.place(0), Name: "Neu"}); w.must(err) }},
	} {
		c.do()
		for len(changed) > 0 {
			<-changed // the node's own word
		}
		if seen = w.room.poll(ctx, seen); len(changed) == 0 {
			t.Errorf("nobody was woken by %s of another node", c.what)
		}
		for len(changed) > 0 {
			<-changed
		}
		if seen = w.room.poll(ctx, seen); len(changed) != 0 {
			t.Errorf("after %s the watcher was woken twice", c.what)
		}
	}
}

func TestAMailboxIsUsedByWhoDoesSomethingInIt(t *testing.T) {
	w := openTown(t)
	b := w.box()
	id := w.arrive("anna@stadt.example", "Subject: x\r\n\r\n")
	w.list(b, store.UseInbox)
	w.read(b, id)
	_, stop := b.Watch()
	stop()
	if len(w.used) != 0 {
		t.Error("a mailbox at which a telephone looks is not used by a person")
	}
	for what, do := range map[string]func() error{
		"a flag": func() error {
			_, err := b.Change(ctx, []store.Change{{Place: b.place(1), Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen}})
			return err
		},
		"a draft":      func() error { _, err := b.SaveDraft(ctx, 0, strings.NewReader(letter), -1); return err },
		"a sent mail":  func() error { _, err := b.Send(ctx, outgoing(letter, "eva@example.org")); return err },
		"a new folder": func() error { _, err := b.PutFolder(ctx, store.Folder{Name: "Neu"}); return err },
	} {
		w.used = nil
		w.must(do())
		if !slices.Contains(w.used, w.anna.ID) {
			t.Errorf("%s is no use of the mailbox", what)
		}
	}
}
