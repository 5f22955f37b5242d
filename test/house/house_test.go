package house

import (
	"os/exec"
	"strings"
	"testing"
)

// The floors of the house, from the ground up. A package may import what stands on a
// lower floor.
const (
	root   = iota // the words everybody uses
	cellar        // what lies on the disk
	rooms         // what happens to a message
	porch         // what several doors stand on
	doors         // how mail and people come in
	attic         // what builds and starts all of it
)

// floors says where each package stands. A new package needs a line here: think about
// where it belongs before you write it.
var floors = map[string]int{
	"":                root,
	"clock":           cellar,
	"certs":           cellar,
	"disk":            cellar,
	"landing":         cellar,
	"disk/diskfault":  cellar,
	"mirror":          cellar,
	"store":           cellar,
	"store/postgres":  cellar,
	"store/sqlite":    cellar,
	"store/storetest": cellar,
	"segment":         cellar,
	"keyring":         cellar,
	"resolver":        cellar,
	"tally":           cellar,
	"backup":          rooms,
	"absence":         rooms,
	"account":         rooms,
	"appeal":          rooms,
	"city":            rooms,
	"courier":         rooms,
	"directory":       rooms,
	"dsn":             rooms,
	"filing":          rooms,
	"folder":          rooms,
	"handback":        rooms,
	"harvest":         rooms,
	"event":           rooms,
	"intake":          rooms,
	"letter":          rooms,
	"ledger":          rooms,
	"mailauth":        rooms,
	"mailbox":         rooms,
	"notify":          rooms,
	"queue":           rooms,
	"retention":       rooms,
	"sender":          rooms,
	"salvage":         rooms,
	"scan":            rooms,
	"search":          rooms,
	"web":             porch,
	"web/webtest":     porch,
	"web/webmail":     doors,
	"web/people":      doors,
	"web/public":      doors,
	"control":         doors,
	"imapd":           doors,
	"web/setup":       doors,
	"smtpd":           doors,
	"app":             attic,
	"cmd/doppelboden": attic,
	"demo":            attic,
	"say":             attic,
	"send":            attic,
	"setup":           attic,
	"sink":            attic,
}

// strangers are packages that must not know each other although their floors would
// allow it.
var strangers = map[string][]string{
	"courier": {"queue", "intake", "ledger", "city"}, // it delivers and reports, and decides nothing
	"intake":  {"queue", "courier"},                  // it never delivers
	"store":   {"store/sqlite", "store/postgres"},    // a contract knows no engine
	"queue":   {"intake"},                            // it never creates messages
}

func TestImportsGoDownwardsOnly(t *testing.T) {
	for importer, imports := range graph(t) {
		if strings.HasPrefix(importer, "test/") {
			continue // tests may look everywhere
		}
		from, known := floors[importer]
		if !known {
			t.Errorf("package %q stands on no floor: add it to floors", importer)
			continue
		}
		for _, imported := range imports {
			if why := forbidden(importer, from, imported); why != "" {
				t.Errorf("%q imports %q: %s", importer, imported, why)
			}
		}
	}
}

// forbidden says why one package may not import another, or "".
func forbidden(importer string, from int, imported string) string {
	if strings.HasPrefix(imported, "test/") {
		return "what runs in earnest must not need what tests it"
	}
	to, known := floors[imported]
	switch {
	case !known:
		return "the imported package stands on no floor"
	case to > from:
		return "imports go downwards"
	case to == from && from == doors:
		return "a door does not know another"
	}
	for _, s := range strangers[importer] {
		if s == imported {
			return "they must not know each other"
		}
	}
	return ""
}

// graph returns for each package of the module which others of it it imports, without
// its tests.
func graph(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "doppelboden/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	local := func(path string) (string, bool) {
		if path == "doppelboden" {
			return "", true
		}
		return strings.CutPrefix(path, "doppelboden/")
	}
	all := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		paths := strings.Fields(line)
		name, _ := local(paths[0])
		all[name] = nil
		for _, p := range paths[1:] {
			if imported, ours := local(p); ours {
				all[name] = append(all[name], imported)
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("wanted the packages of the house, got %v", all)
	}
	return all
}

func TestForbiddenImportsAreFound(t *testing.T) {
	for _, tc := range []struct{ from, to string }{
		{"courier", "queue"}, {"queue", "smtpd"}, {"store", "queue"}, {"smtpd", "control"},
		{"", "disk"}, {"app", "test/peer"}, {"app", "unheard"},
	} {
		if forbidden(tc.from, floors[tc.from], tc.to) == "" {
			t.Errorf("%q imports %q: wanted it forbidden", tc.from, tc.to)
		}
	}
	if why := forbidden("queue", floors["queue"], "courier"); why != "" {
		t.Errorf("queue imports courier: wanted it allowed, got %q", why)
	}
}
