package city

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
)

// anyMailbox draws a mailbox with anything in its fields.
func anyMailbox(t *rapid.T) doppelboden.Mailbox {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(120, 400, -1))
	address := rapid.Custom(func(t *rapid.T) doppelboden.Address {
		return doppelboden.Address{Local: rapid.OneOf(rapid.StringMatching(`[a-z.]{1,20}`), rapid.Just(`an@home "x"`), rapid.Just("bürger")).Draw(t, "local"),
			Domain: rapid.SampledFrom([]string{"musterstadt.de", "[IPv6:::1]", "xn--mller-kva.de"}).Draw(t, "domain")}
	})
	addresses := rapid.Custom(func(t *rapid.T) []doppelboden.Address {
		if list := rapid.SliceOfN(address, 0, 5).Draw(t, "list"); len(list) > 0 {
			return list
		}
		return nil
	})
	b := doppelboden.Mailbox{
		ID: doppelboden.MailboxID(rapid.Int64().Draw(t, "id")), Tenant: doppelboden.TenantID(rapid.Int64().Draw(t, "tenant")),
		Address: address.Draw(t, "address"), Name: text.Draw(t, "name"),
		Kind:       rapid.SampledFrom([]doppelboden.MailboxKind{doppelboden.Person, doppelboden.Function, doppelboden.List}).Draw(t, "kind"),
		Department: text.Draw(t, "department"), Building: text.Draw(t, "building"),
		Phone: doppelboden.Phone(text.Draw(t, "phone")), Priority: rapid.IntRange(0, 9).Draw(t, "priority"),
		Aliases: addresses.Draw(t, "aliases"), Members: addresses.Draw(t, "members"), Closed: rapid.Bool().Draw(t, "closed"),
		Source: text.Draw(t, "source"), External: text.Draw(t, "external"),
	}
	if rapid.Bool().Draw(t, "gone") {
		b.Gone = time.UnixMicro(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-1<<52, 1<<52)).Draw(t, "since")).UTC()
	}
	return b
}

func TestADirectoryKeepsEveryFieldOfAMailbox(t *testing.T) {
	kind := reflect.TypeFor[doppelboden.Mailbox]()
	if kind.NumField() != 15 {
		t.Fatalf("a mailbox has %d fields; the card knows 15", kind.NumField())
	}
	rapid.Check(t, func(t *rapid.T) {
		p := press{}
		boxes := rapid.SliceOfN(rapid.Custom(anyMailbox), 1, 4).Draw(t, "boxes")
		for _, b := range boxes {
			if got := p.card(b).mailbox(); !reflect.DeepEqual(got, b) {
				t.Fatalf("kept %+v\nas   %+v", b, got)
			}
		}
	})
}

func TestWhatIsTheSameInManyMailboxesIsKeptOnce(t *testing.T) {
	d := NewDirectory(testCity(t), testTenants, []doppelboden.Mailbox{mailbox(t, 1, 7, "anna@musterstadt.de"), mailbox(t, 2, 7, "bert@musterstadt.de")})
	third := mailbox(t, 3, 7, "clara@musterstadt.de")
	d = d.With([]doppelboden.Mailbox{third})
	if d.places[1].common != d.places[2].common || d.places[1].common != d.places[3].common {
		t.Error("three mailboxes of a kind have not the same common")
	}
	third.Department = "IT"
	d = d.With([]doppelboden.Mailbox{third})
	if d.places[3].common == d.places[1].common || d.places[1].common.department != "" {
		t.Error("a mailbox of another department shares what is common")
	}
}
