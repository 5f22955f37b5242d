package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden/store"
)

// Plans must not depend on what the server knows of the tables: they were empty a minute
// ago, or nobody has analysed them, or a policy adds a condition.
func TestEveryQueryReadsTheIndexThatItIsMeantFor(t *testing.T) {
	s := openNew(t)
	check := func(when string) {
		t.Helper()
		for _, role := range []string{"", "doppelboden_tenant"} {
			c := raw(t, s)
			if role != "" {
				if err := c.script(ctx, "SET doppelboden.tenant = '1'; SET ROLE "+role); err != nil {
					t.Fatal(err)
				}
			}
			checkPlans(t, c, strings.TrimSpace(when+" "+role))
		}
	}
	check("empty")
	landed := benchLanded(&testChain{name: "landing/1"}, 5000, 5000)
	for _, m := range landed[0].Messages[:500] {
		m.Copies[0].Folder = "Akten"
	}
	if err := s.Drain(ctx, landed); err != nil {
		t.Fatal(err)
	}
	lease, err := s.Join(ctx, "node", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range landed[0].Messages[:50] {
		if err := settled(s, lease, m, 1); err != nil {
			t.Fatal(err)
		}
	}
	check("filled")
	if err := raw(t, s).script(ctx, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("analysed")
}

// harvestedTypes are the types of the arguments of harvestedOfFolder.
const harvestedTypes = "bigint, bigint, bigint, bigint, bigint, bigint, bigint, boolean, bigint, text"

// indexNames finds the indexes in a plan.
var indexNames = regexp.MustCompile(`Index (?:Only )?Scan (?:Backward )?using (\w+)`)

// checkPlans compares the indexes that queries use with those that they are meant for.
func checkPlans(t *testing.T, c *conn, when string) {
	t.Helper()
	for i, q := range []struct {
		what, text string
		types      string // of the arguments
		args       string
		want       string // indexes, sorted
	}{
		{"boxes", boxesQuery, "bigint, bigint", "0, 256", "delivery_box delivery_pkey message_pkey"},
		{"heads", headsQuery, "bigint[], bigint[], bigint", "'{5,6}', '{0,0}', 16", "delivery_box message_pkey"},
		{"due", dueQuery, "bigint[], bigint", "'{-1}', 16", "delivery_due message_pkey"},
		{"queued in a box", findBox, "bigint, bigint, bigint, bigint, bigint, bigint", "0, 9, 1, 0, 9, 5", "delivery_box message_pkey"},
		{"rare states", findRare, "bigint, bigint, bigint, bigint, bigint, bigint, bigint", "0, 9, 1, 0, 9, 1, 0", "delivery_rare message_pkey"},
		{"any state", findAny, "bigint, bigint, bigint, bigint, bigint, bigint, bigint", "0, 9, 1, 0, 9, -1, 0", "delivery_pkey message_pkey"},
		{"fresh mail in a mailbox", impliedOfMailbox(), "bigint, bigint, bigint, bigint", "5, 0, 1, 9", "delivery_box folder_pkey message_pkey"},
		{"copies in a mailbox", rowsOfMailbox, "bigint, bigint, bigint, bigint", "5, 0, 1, 9", "copy_pkey folder_pkey"},
		{"fresh mail", impliedCount, "bigint, bigint, bigint", "5, 0, 1", "delivery_box"},
		{"fresh mail with its messages", impliedRows, "bigint, bigint, bigint", "5, 0, 1", "delivery_box message_pkey"},
		{"fresh copies", freshQuery, "bigint, bigint", "5, 1", "copy_fresh"},
		{"whether a folder has fresh copies", anyFresh, "bigint, bigint", "5, 1", "copy_fresh"},
		{"fresh copies in a folder", loadFresh, "bigint, bigint", "5, 1", "copy_fresh"},
		{"what a folder shows", shownRising, "bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint", "5, 1, 1, 9, 1, 0, 0, 9", "copy_uid"},
		{"what a folder shows, newest first", shownFalling, "bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint", "5, 1, 1, 9, 1, 0, 0, 9", "copy_uid"},
		{"UIDs", loadUIDs, "bigint, bigint, bigint[]", "5, 1, '{1}'", "copy_uid"},
		{"UIDs from and to", loadRange, "bigint, bigint, bigint, bigint", "5, 1, 1, 9", "copy_uid"},
		{"deeds", deedsOfAll, "bigint, bigint, bigint, bigint", "0, 1, 9, 0", "copy_open folder_pkey"},
		{"deeds in a mailbox", deedsOfBox, "bigint, bigint, bigint, bigint", "0, 1, 9, 5", "copy_owed folder_pkey"},
		{"deeds by number", loadDeeds, "bigint[]", "'{1}'", "copy_deed"},
		{"counts of deeds", deedCounts, "", "", "copy_owed"},
		{"one message in a folder", shownMessage, "bigint, bigint, bigint, bigint, bigint, bigint, bigint, bytea", "5, 1, 1, 9, 1, 0, 0, 'x'", "copy_message message_id"},
		{"deeds about a message", deedsOfOne, "bigint, bigint, bigint, bigint, bytea", "0, 1, 9, 0, 'x'", "copy_message folder_pkey message_id"},
		{"removal of copies", removeCopies, "bigint[]", "'{1}'", "copy_message folder_pkey numbering_pkey"},
		{"copies of a message", copiesOfMessage, "bigint, bigint", "1, 2", "copy_message delivery_pkey folder_pkey message_pkey"},
		{"messages by id", findMessages, "bytea[]", "'{abc}'", "message_id"},
		{"deliveries by reference", findStates, "bytea[], bigint[]", "'{abc}', '{0}'", "delivery_pkey message_id"},
		{"counts", countsQuery, "", "", "count_pkey delivery_state message_pkey"},
		{"handed over by time", handedByTime, "bigint, bigint, bigint, bigint, bigint", "0, 9, 0, 9, 0", "delivery_handed message_pkey"},
		{"handed over in a box", handedInBox, "bigint, bigint, bigint, bigint, bigint, bigint", "0, 9, 0, 9, 5, 0", "delivery_box message_pkey"},
		{"what is tried again", refusedQuery, "text, bigint, bigint", "'', 0, 9", "delivery_pkey held_group held_pkey"},
		{"what fails", failingQuery, "bigint, bigint, bigint, bigint", "1, 0, 9, 1", "delivery_failing"},
		{"held in a group", findMembers, "bigint, bigint, bigint, bigint, bigint, text", "0, 9, 1, 0, 9, 'g'", "delivery_pkey held_member message_pkey"},
		{"held in a box", findHeldBox, "bigint, bigint, bigint, bigint, bigint, bigint", "0, 9, 1, 0, 9, 5", "delivery_pkey held_box message_pkey"},
		{"what is overdue", overdueQuery, "bigint, bigint, bigint, bigint, bigint", "5, 0, 9, 4, 9", "delivery_box message_pkey notice_pkey"},
		{"what waits for scanners", unscannedQuery, "bigint, bigint, bigint", "1, 0, 9", "delivery_pkey message_unscanned"},
		{"extracts", extractQueries[3], "bytea[], bigint", "'{abc}', 1", "extract_pkey message_id"},
		{"what has no extract", unextractedQuery, "bigint, bigint, bigint", "1, 0, 9", "copy_message delivery_pkey extract_pkey message_pkey"},
		{"what is known of a folder of the groupware", harvestedOfFolder + harvestedOrder, harvestedTypes, "5, 1, 0, 0, 0, 0, 9, false, 9, 'INBOX'", "harvest_folder_pkey harvest_mail_pkey message_pkey"},
		{"what is known under a UIDVALIDITY", harvestedOfValidity + harvestedOrder, harvestedTypes + ", bigint", "5, 1, 0, 0, 0, 0, 9, false, 9, 'INBOX', 1", "harvest_folder_pkey harvest_mail_pkey message_pkey"},
		{"bodies of a key", bodiesQuery, "bigint, bigint, bigint", "1, 1, 9", "message_body"},
		{"bodies in a segment", stayingQuery, "text, bigint", "'s', 9", "message_body"},
	} {
		if strings.Contains(when, "tenant") && (q.what == "counts" || q.what == "copies of a message" || q.what == "messages by id" || q.what == "removal of copies" ||
			q.what == "counts of deeds") {
			continue // the node's own alone
		}
		plan := planOf(t, c, fmt.Sprintf("plan%d", i), q.text, q.types, q.args)
		plan = strings.ReplaceAll(plan, "folder_name", "folder_pkey") // of one mailbox's folders either will do
		var got []string
		for _, m := range indexNames.FindAllStringSubmatch(plan, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if got := strings.Join(slices.Compact(got), " "); got != q.want || strings.Contains(plan, "Seq Scan on") {
			t.Errorf("%s (%s): indexes %q, wanted %q:\n%s", q.what, when, got, q.want, plan)
		}
	}
}

// What a change writes, and single mails that it reads, are found one by one, however large
// the mailbox is.
func TestMailsOfALargeMailboxAreFoundOneByOne(t *testing.T) {
	s := openNew(t)
	landed := benchLanded(&testChain{name: "landing/1"}, 1000, 1000)
	for _, m := range landed[0].Messages {
		m.Deliveries[0].Mailbox, m.Copies[0].Mailbox, m.Copies[0].Folder = 1, 1, "Akten"
	}
	if err := s.Drain(ctx, landed); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Look(ctx, store.Place{Tenant: 1, Mailbox: 1, Folder: 2}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		c := raw(t, s)
		const arrays = "bigint[], bigint[], bigint[], bytea[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], boolean[], text[], text[], bigint[], bigint[]"
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", 17), ", ")
		for i, q := range []struct{ text, types, args, want string }{
			{updateLying, "bigint, " + arrays, "1, " + nulls, "(mailbox = u.mailbox) AND (n = u.n)"},
			{deleteLying, "bigint[], bigint[]", "'{1}', '{1}'", "(mailbox = u.mailbox) AND (n = u.n)"},
			{loadUIDs, "bigint, bigint, bigint[]", "1, 2, '{1,3}'", "(uid = u.uid)"},
			{loadDeeds, "bigint[]", "'{1,3}'", "(deed = u.deed)"},
			{removeCopies, "bigint[]", "'{1,3}'", "(message = u.num)"},
			{harvestedOfFolder + harvestedOrder, harvestedTypes, "1, 1, 0, 0, 0, 0, 9, false, 9, 'INBOX'", "(folder = $0) AND (uid >= $6)"},
			{harvestedOfValidity + harvestedOrder, harvestedTypes + ", bigint", "1, 1, 0, 0, 0, 0, 9, false, 9, 'INBOX', 1", "(validity = $11) AND (uid >= $6)"},
		} {
			plan := planOf(t, c, fmt.Sprintf("one%d", i), q.text, q.types, q.args)
			if !strings.Contains(strings.Join(regexp.MustCompile(`Index Cond: .*`).FindAllString(plan, -1), "\n"), q.want) {
				t.Errorf("%s: no index finds %s:\n%s%s", when, q.want, q.text, plan)
			}
		}
	}
	check("not analysed")
	if err := raw(t, s).script(ctx, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("analysed")
}

// planOf returns how a statement is run.
func planOf(t *testing.T, c *conn, name, text, types, args string) string {
	t.Helper()
	if types != "" {
		types, args = "("+types+")", "("+args+")"
	}
	if err := c.script(ctx, "PREPARE "+name+types+" AS "+text); err != nil {
		t.Fatalf("prepare %s: %v", text, err)
	}
	results, err := c.pg.Exec(ctx, "EXPLAIN (COSTS off) EXECUTE "+name+args).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range results[0].Rows {
		b.Write(r[0])
		b.WriteByte('\n')
	}
	return b.String()
}
