package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// grants shows what a person may open.
func (w *world) grants(address string) string {
	w.t.Helper()
	list, err := w.room.Grants(ctx, w.person(address).ID)
	w.must(err)
	var all []string
	for _, g := range list {
		all = append(all, g.Kind+" "+g.Address.Local)
	}
	return strings.Join(all, ", ")
}

// belonging is somebody who may open a mailbox.
func (w *world) belonging(mailbox, person, kind string, until time.Time) store.Belonging {
	return store.Belonging{Tenant: 1, Mailbox: w.boxes[mailbox], Person: w.boxes[person], Kind: kind, Until: until, By: "it", At: w.clock()}
}

func TestMailboxesBelongToPeopleForAsLongAsSomebodySaid(t *testing.T) {
	w := newWorld(t, "")
	function := w.belonging("buergerbuero@stadt.example", "anna@stadt.example", GrantFunction, time.Time{})
	deputy := w.belonging("clara@stadt.example", "anna@stadt.example", GrantDeputy, w.clock().Add(24*time.Hour))
	w.must(w.room.Belong(ctx, []store.Belonging{function, deputy}))
	if got, want := w.grants("anna@stadt.example"), "own anna, function buergerbuero, deputy clara"; got != want {
		t.Errorf("grants: %s, wanted %s", got, want)
	}
	anna := w.person("anna@stadt.example").ID
	for address, want := range map[string]bool{
		"anna@stadt.example": true, "A.Mueller@stadt.example": true, "buergerbuero@stadt.example": true, "clara@stadt.example": true,
		"bert@stadt.example": false, "niemand@stadt.example": false, "dora@kreis.example": false, "x@strange.example": false,
	} {
		if got := w.room.MaySend(ctx, anna, addr(t, address)); got != want {
			t.Errorf("may send as %s: %v, wanted %v", address, got, want)
		}
	}
	w.forward(24 * time.Hour)
	if got, want := w.grants("anna@stadt.example"), "own anna, function buergerbuero"; got != want {
		t.Errorf("a day later: %s, wanted %s", got, want)
	}
	w.must(w.room.Unbelong(ctx, []store.Belonging{function}))
	if got := w.grants("anna@stadt.example"); got != "own anna" {
		t.Errorf("after it was taken: %s", got)
	}
	for what, b := range map[string]store.Belonging{
		"a deputy without an end":          w.belonging("clara@stadt.example", "anna@stadt.example", GrantDeputy, time.Time{}),
		"a person's mailbox as a function": w.belonging("clara@stadt.example", "anna@stadt.example", GrantFunction, time.Time{}),
		"somebody of another city":         w.belonging("buergerbuero@stadt.example", "dora@kreis.example", GrantFunction, time.Time{}),
		"a function as a member":           w.belonging("clara@stadt.example", "buergerbuero@stadt.example", GrantDeputy, w.clock().Add(time.Hour)),
		"her own":                          w.belonging("anna@stadt.example", "anna@stadt.example", GrantDeputy, w.clock().Add(time.Hour)),
		"a mailbox that nobody has":        {Tenant: 1, Mailbox: 999, Person: w.boxes["anna@stadt.example"], Kind: GrantFunction},
	} {
		code(t, what, w.room.Belong(ctx, []store.Belonging{b}), doppelboden.Invalid)
	}
}

func TestTheDirectorySaysToWhomAFunctionBelongs(t *testing.T) {
	w := newWorld(t, "")
	m, _ := w.directory().Mailbox(w.boxes["buergerbuero@stadt.example"])
	m.Members = []doppelboden.Address{addr(t, "a.mueller@stadt.example"), addr(t, "dora@kreis.example"), addr(t, "niemand@stadt.example")}
	w.change(m)
	if got, want := w.grants("anna@stadt.example"), "own anna, function buergerbuero"; got != want {
		t.Errorf("a member: %s, wanted %s", got, want)
	}
	for _, other := range []string{"bert@stadt.example", "dora@kreis.example"} {
		if got := w.grants(other); strings.Contains(got, "buergerbuero") {
			t.Errorf("%s, who is no member of this city's: %s", other, got)
		}
	}
	m.Gone = w.clock()
	w.change(m)
	if got := w.grants("anna@stadt.example"); got != "own anna" {
		t.Errorf("when the function is gone: %s", got)
	}
}

func TestHeadsVouchForTheirPeopleAndBothAreTold(t *testing.T) {
	w := newWorld(t, "")
	anna, bert, clara := w.person("anna@stadt.example"), w.person("bert@stadt.example"), w.person("clara@stadt.example")
	l := w.enrolled("anna@stadt.example")
	_, err := w.room.Vouch(ctx, l.Session, bert.Address)
	code(t, "somebody who is nobody's head", err, doppelboden.Policy)
	w.must(w.room.Appoint(ctx, anna, RoleHead, "bürgerbüro", "it"))
	_, err = w.room.Vouch(ctx, l.Session, bert.Address)
	code(t, "a head with a password alone", err, doppelboden.Policy)
	l = w.withTOTP(l)
	for _, whom := range []doppelboden.Address{clara.Address, anna.Address, addr(t, "dora@kreis.example"), addr(t, "niemand@stadt.example"), addr(t, "buergerbuero@stadt.example")} {
		_, err = w.room.Vouch(ctx, l.Session, whom)
		if !errors.Is(err, errNotYours) {
			t.Errorf("vouching for %s: %v", whom, err)
		}
	}
	first, err := w.room.Vouch(ctx, l.Session, bert.Address)
	w.must(err)
	second, err := w.room.Vouch(ctx, l.Session, bert.Address)
	w.must(err)
	_, err = w.room.LogIn(ctx, web("", first.Code))
	code(t, "a code that was made again", err, doppelboden.Policy)
	got, err := w.room.LogIn(ctx, web("bert@stadt.example", second.Code))
	w.must(err)
	if got.Person.ID != bert.ID || got.Needs != NeedsEnrol {
		t.Errorf("with the code: %+v", got)
	}
	to := map[string]int{}
	for _, m := range w.mails {
		to[m.To.String()]++
		if strings.Contains(m.Text, second.Code) || !strings.Contains(m.Text, "Anna") && !strings.Contains(m.Text, "Bert") {
			t.Errorf("a notice: %+v", m)
		}
	}
	if to["anna@stadt.example"] != 2 || to["bert@stadt.example"] != 2 {
		t.Errorf("told: %v, wanted both, each time", to)
	}
	third, err := w.room.Vouch(ctx, l.Session, bert.Address)
	w.must(err)
	w.forward(vouchTime)
	_, err = w.room.LogIn(ctx, web("", third.Code))
	code(t, "an hour later", err, doppelboden.Policy)
	w.must(w.room.Dismiss(ctx, anna, RoleHead, "bürgerbüro", "it"))
	_, err = w.room.Vouch(ctx, l.Session, bert.Address)
	code(t, "a head who is none any more", err, doppelboden.Policy)
	for _, bad := range []store.Role{{Name: RoleHead}, {Name: RoleAdmin, Department: "x"}, {Name: "king"}} {
		code(t, fmt.Sprint("the role ", bad), w.room.Appoint(ctx, anna, bad.Name, bad.Department, "it"), doppelboden.Invalid)
	}
}

func TestCodesBySMSAreShortLived(t *testing.T) {
	w := newWorld(t, "")
	anna := w.person("anna@stadt.example")
	code(t, "without a number", w.room.SendCode(ctx, anna, "", "it"), doppelboden.Invalid)
	code(t, "with rubbish", w.room.SendCode(ctx, anna, "rufmichan", "it"), doppelboden.Invalid)
	m, _ := w.directory().Mailbox(anna.Mailbox)
	m.Phone = "+491701234567"
	w.change(m)
	w.must(w.room.SendCode(ctx, anna, "", "it"))
	w.must(w.room.SendCode(ctx, anna, "0151 / 98 76 54", "it"))
	if len(w.texts) != 2 || !strings.HasPrefix(w.texts[0], "+491701234567: ") || !strings.HasPrefix(w.texts[1], "+49151987654: ") || strings.Contains(w.texts[0], "Anna") {
		t.Fatalf("texts: %q", w.texts)
	}
	m.Source = "ad" // whose owner may have changed the number
	w.change(m)
	_, err := w.room.Distrust(ctx, anna.Tenant, "it")
	w.must(err)
	code(t, "to the directory's number in attack mode", w.room.SendCode(ctx, anna, "", "it"), doppelboden.Invalid)
	w.must(w.room.SendCode(ctx, anna, "0151 / 98 76 54", "it"))
	w.texts = append(w.texts[:1], w.texts[2])
	typed := func(text string) string { return strings.Split(strings.SplitN(text, "Postfach: ", 2)[1], " ")[0] }
	_, err = w.room.LogIn(ctx, web("", typed(w.texts[0])))
	code(t, "the first, after a second was sent", err, doppelboden.Policy)
	_, err = w.room.LogIn(ctx, web("", typed(w.texts[1])))
	w.must(err)
	w.forward(smsTime)
	_, err = w.room.LogIn(ctx, web("", typed(w.texts[1])))
	code(t, "half an hour later", err, doppelboden.Policy)
}

// TestACodeOfACrisisThatMayHaveArrivedStaysGood turns red when another SMS to somebody of the
// crisis team ends the link of one that she may have got already, or when they pile up.
func TestACodeOfACrisisThatMayHaveArrivedStaysGood(t *testing.T) {
	w := newWorld(t, "")
	anna := w.person("anna@stadt.example")
	crisis := func(had Sheet) Sheet {
		t.Helper()
		s, needed, err := w.room.CrisisCode(ctx, anna, had, "event 1")
		if err != nil || !needed {
			t.Fatalf("needed %v, %v", needed, err)
		}
		return s
	}
	good := func(what string, s Sheet, want bool) {
		t.Helper()
		if _, err := w.room.LogIn(ctx, web("", s.Code)); (err == nil) != want || err != nil && doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("%s: %v, wanted good %v", what, err, want)
		}
	}
	first := crisis(Sheet{})
	w.forward(time.Hour)
	if again := crisis(first); again.Code != first.Code || !again.Until.Equal(first.Until) {
		t.Errorf("the second try has the code %v, want the same as before, %v", again, first)
	}
	other := crisis(Sheet{}) // after a restart nobody knows the first
	good("the first beside another", first, true)
	w.forward(crisisTime/2 - time.Hour)
	late := crisis(first) // of which less than half is left for who reads it in the morning
	if late.Code == first.Code {
		t.Error("a code that ends soon was sent once more")
	}
	good("the first beside a later one", first, true)
	all := []Sheet{late}
	for range mostCrisis {
		all = append(all, crisis(Sheet{}))
	}
	for what, s := range map[string]Sheet{"the first of too many": first, "the second": other, "the third": late} {
		good(what, s, false)
	}
	for i, s := range all[1:] {
		good(fmt.Sprint("one of the newest, ", i), s, true)
	}
	last := all[mostCrisis]
	_, err := w.room.RevokeCodes(ctx, []Person{anna}, "it")
	w.must(err)
	if s := crisis(last); s.Code == last.Code {
		t.Error("a code that was revoked is sent once more")
	}
}

func TestNewSheetsEndOldOnesAndCodesCanBeWithdrawn(t *testing.T) {
	w := newWorld(t, "")
	people := w.room.People(1, "Bürgerbüro")
	if len(people) != 2 || people[0].Name != "Anna Müller" {
		t.Fatalf("people of the Bürgerbüro: %+v", people)
	}
	works := func(s Sheet) bool {
		_, err := w.room.LogIn(ctx, web("", s.Code))
		if c := doppelboden.CodeOf(err); err != nil && c != doppelboden.Policy {
			t.Fatal(err)
		}
		return err == nil
	}
	first, err := w.room.Sheets(ctx, people, true, "it")
	w.must(err)
	kept, err := w.room.Sheets(ctx, people[:1], false, "it")
	w.must(err)
	if !works(first[0]) || !works(kept[0]) || !works(first[1]) {
		t.Error("a sheet beside which another one was made is not good")
	}
	second, err := w.room.Sheets(ctx, people[:1], true, "it")
	w.must(err)
	if works(first[0]) || works(kept[0]) || !works(second[0]) || !works(first[1]) {
		t.Error("a new sheet did not end just the older ones of its person")
	}
	n, err := w.room.RevokeCodes(ctx, people, "it")
	w.must(err)
	if n != 2 || works(second[0]) || works(first[1]) {
		t.Errorf("%d codes were withdrawn, wanted 2", n)
	}
	third, err := w.room.Sheets(ctx, people[:1], true, "it")
	w.must(err)
	w.forward(400 * 24 * time.Hour)
	if works(third[0]) {
		t.Error("a sheet is good beyond its time")
	}
}

func TestNothingInTheDatabaseLetsAnybodyIn(t *testing.T) {
	w := newWorld(t, "")
	sheets, err := w.room.Sheets(ctx, []Person{w.person("anna@stadt.example")}, true, "it")
	w.must(err)
	l := w.withTOTP(w.enrolled("bert@stadt.example"))
	app, err := w.room.NewApp(ctx, l.Session, "Telefon")
	w.must(err)
	seed, err := w.room.SetUpTOTP(ctx, l.Session)
	w.must(err)
	w.must(w.store.Close())
	plain, _ := plainAppPassword(app)
	for _, secret := range []string{sheets[0].Code, plainCode(sheets[0].Code), app, plain, l.Session, good, strings.ReplaceAll(seed.Text, " ", "")} {
		if found := inFiles(t, w.path, secret); found {
			t.Errorf("the database holds %q in clear", secret)
		}
	}
	if !inFiles(t, w.path, "argon2id") {
		t.Error("the test looks at the wrong files: there is no hash in them")
	}
}

func TestSealedSeedsMoveToATenantsNewKey(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	seed, err := w.room.SetUpTOTP(ctx, l.Session)
	w.must(err)
	_, err = w.room.Step(ctx, l.Session, StepSetUpTOTP, w.totp(seed))
	w.must(err)
	sheets, err := w.room.Sheets(ctx, []Person{w.person("bert@stadt.example")}, true, "it")
	w.must(err)
	_, err = w.ring.Rotate(ctx, 1)
	w.must(err)
	w.must(w.room.Reseal(ctx))
	w.must(w.room.Reseal(ctx))
	w.must(w.store.DeleteTenantKey(ctx, 1, 1)) // refused while anything is sealed with it
	w.forward(time.Minute)
	room := w.newRoom() // which has opened nothing yet
	half, err := room.LogIn(ctx, web("anna@stadt.example", good))
	w.must(err)
	if _, err := room.Step(ctx, half.Session, NeedsTOTP, w.totp(seed)); err != nil {
		t.Errorf("a one-time password after the key was changed: %v", err)
	}
	if _, err := room.LogIn(ctx, web("", sheets[0].Code)); err != nil {
		t.Errorf("a code after the key was changed: %v", err)
	}
}
