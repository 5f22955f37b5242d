package imapd

import (
	"slices"
	"sort"

	"github.com/emersion/go-imap/v2"
)

// A span is a range of numbers, both ends included.
type span struct{ from, to uint32 }

// spans returns a set's ranges, where last stands for "*": RFC 9051, section 9, seq-range.
func spans(set imap.NumSet, last uint32) []span {
	var list []span
	add := func(from, to uint32) {
		if from == 0 {
			from = last
		}
		if to == 0 {
			to = last
		}
		list = append(list, span{min(from, to), max(from, to)})
	}
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			add(r.Start, r.Stop)
		}
	case imap.UIDSet:
		for _, r := range set {
			add(uint32(r.Start), uint32(r.Stop))
		}
	}
	return list
}

// pick returns the places in the view of the mails that a set names, in rising order.
func (s *session) pick(set imap.NumSet) []int {
	v := s.view
	if len(v.mails) == 0 {
		return nil
	}
	uids, isUID := set.(imap.UIDSet)
	if isUID && imap.IsSearchRes(uids) {
		set = s.found
	}
	chosen := make([]bool, len(v.mails))
	last := uint32(len(v.mails))
	if isUID {
		last = v.mails[len(v.mails)-1].uid
	}
	n := 0
	for _, r := range spans(set, last) {
		first, end := int(r.from)-1, min(int(r.to), len(v.mails))
		if isUID {
			first = v.find(r.from)
			end = sort.Search(len(v.mails), func(i int) bool { return v.mails[i].uid > r.to })
		}
		for i := max(first, 0); i < end; i++ {
			if !chosen[i] {
				chosen[i] = true
				n++
			}
		}
	}
	list := make([]int, 0, n)
	for i, yes := range chosen {
		if yes {
			list = append(list, i)
		}
	}
	return list
}

// uidsOf returns the UIDs of places in the view.
func (v *view) uidsOf(places []int) []uint32 {
	uids := make([]uint32, len(places))
	for i, at := range places {
		uids[i] = v.mails[at].uid
	}
	return uids
}

// uidSet makes a set of rising UIDs.
func uidSet(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, uid := range uids {
		if n := len(set); n > 0 && uint32(set[n-1].Stop)+1 == uid {
			set[n-1].Stop = imap.UID(uid)
			continue
		}
		set = append(set, imap.UIDRange{Start: imap.UID(uid), Stop: imap.UID(uid)})
	}
	return set
}

// seqSet makes a set of the sequence numbers of rising places.
func seqSet(places []int) imap.SeqSet {
	var set imap.SeqSet
	for _, at := range places {
		num := uint32(at) + 1
		if n := len(set); n > 0 && set[n-1].Stop+1 == num {
			set[n-1].Stop = num
			continue
		}
		set = append(set, imap.SeqRange{Start: num, Stop: num})
	}
	return set
}

// rising returns a sorted copy.
func rising(uids []uint32) []uint32 {
	list := slices.Clone(uids)
	slices.Sort(list)
	return list
}
