package search

import (
	"slices"
	"strings"

	"doppelboden/letter"
	"doppelboden/store"
)

// A ThreadItem is a mail of which conversations are made.
type ThreadItem struct {
	Place   store.Place
	Shown   store.Shown
	Summary letter.Summary
}

// A Thread is a conversation: its mails in the order of the list that it was made of.
type Thread struct{ Items []ThreadItem }

// maxThreaded is how many mails are put into conversations at once. The others, at the
// end of the list, stand alone: a page is looked at, not an archive.
const maxThreaded = 5000

// Threads puts mails into conversations: by Message-ID, References and In-Reply-To, and,
// for answers that name none of these, by the subject and who takes part. A conversation
// stands where the first of its mails in the list stands. It takes memory for the ids of
// at most 5,000 mails.
func Threads(list []ThreadItem) []Thread {
	u := &union{parent: make([]int, len(list))}
	for i := range u.parent {
		u.parent[i] = i
	}
	some := list[:min(len(list), maxThreaded)]
	byID := make(map[string]int, 2*len(some))
	for i := range some {
		s := &some[i].Summary
		for id := range idsIn(s) {
			if first, known := byID[id]; known {
				u.join(first, i)
			} else {
				byID[id] = i
			}
		}
	}
	bySubject(some, u)
	at := make(map[int]int)
	var threads []Thread
	for i, item := range list {
		root := u.find(i)
		n, known := at[root]
		if !known {
			n = len(threads)
			at[root] = n
			threads = append(threads, Thread{})
		}
		threads[n].Items = append(threads[n].Items, item)
	}
	return threads
}

// idsIn yields the ids that a mail has or names.
func idsIn(s *letter.Summary) func(func(string) bool) {
	return func(yield func(string) bool) {
		if s.MessageID != "" && !yield(s.MessageID) {
			return
		}
		for _, list := range [][]string{s.References, s.InReplyTo} {
			for _, id := range list {
				if !yield(id) {
					return
				}
			}
		}
	}
}

// bySubject joins answers that name no mail they answer to the mail with their subject,
// when somebody takes part in both.
func bySubject(list []ThreadItem, u *union) {
	first := map[string][]int{} // mails by their subject; at most a few are compared
	for i := range list {
		if subject := BaseSubject(list[i].Summary.Subject); subject != "" && len(first[subject]) < 20 {
			first[subject] = append(first[subject], i)
		}
	}
	for i := range list {
		s := &list[i].Summary
		if len(s.References)+len(s.InReplyTo) > 0 || !isAnswer(s.Subject) {
			continue
		}
		for _, other := range first[BaseSubject(s.Subject)] {
			if other != i && sharePeople(s, &list[other].Summary) {
				u.join(other, i)
				break
			}
		}
	}
}

// sharePeople reports whether one of the senders gets the other mail, or wrote it too.
func sharePeople(a, b *letter.Summary) bool {
	return namesAny(a.From, b.From, b.To, b.Cc) || namesAny(b.From, a.To, a.Cc)
}

func namesAny(people []letter.Person, lists ...[]letter.Person) bool {
	for _, p := range people {
		for _, list := range lists {
			if slices.ContainsFunc(list, func(o letter.Person) bool {
				return p.Address != "" && strings.EqualFold(p.Address, o.Address)
			}) {
				return true
			}
		}
	}
	return false
}

// prefixes are what programs put before a subject when they answer or forward.
var prefixes = []string{"re", "aw", "antw", "antwort", "fwd", "fw", "wg", "wtr", "rv", "sv", "tr"}

// isAnswer reports whether a subject has such a prefix.
func isAnswer(subject string) bool { return len(BaseSubject(subject)) < len(clean(subject)) }

// BaseSubject returns a subject without what programs put before it ("AW: Re[2]:"), as it
// is compared: RFC 5256, section 2.1, as far as people use it.
func BaseSubject(subject string) string {
	s := clean(subject)
	for {
		head, rest, ok := strings.Cut(s, ":")
		if i := strings.IndexAny(head, "[("); i > 0 {
			head = head[:i]
		}
		if !ok || !slices.Contains(prefixes, strings.TrimSpace(head)) {
			return s
		}
		s = strings.TrimSpace(rest)
	}
}

// clean returns a subject in small letters with single blanks.
func clean(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

// A union holds which mails belong together.
type union struct{ parent []int }

// find returns the mail that stands for all that belong to i.
func (u *union) find(i int) int {
	for u.parent[i] != i {
		u.parent[i] = u.parent[u.parent[i]]
		i = u.parent[i]
	}
	return i
}

// join says that two mails belong together.
func (u *union) join(a, b int) {
	a, b = u.find(a), u.find(b)
	u.parent[max(a, b)] = min(a, b)
}
