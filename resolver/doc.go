// Package resolver asks the DNS, for everybody in the house who needs it.
//
// It takes a name or an address and gives what configured name servers answer, from a
// bounded cache where possible. It promises:
//
//   - Every question ends within a deadline, and at once while no name server answers.
//   - NotFound means that a name server said so; everything else that is no answer
//     (time-outs, refusals, broken or endless answers) is Temporary. See
//     doppelboden.CodeOf.
//   - What comes back is bounded: in records, in octets, and in the length of a chain of
//     aliases. Records of another type or name than asked for are left out.
//
// It never decides what an answer means for a mail, never walks the tree of name servers
// itself, and does not check DNSSEC: it trusts the name servers it was given, which
// should stand on this machine or in the same network.
package resolver
