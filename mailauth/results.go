package mailauth

// A Result is one method's verdict: RFC 8601, section 2.2, resinfo.
type Result struct {
	Method string     // "spf", "dkim", "dmarc", "iprev"…
	Value  Value      // the verdict
	Reason string     // why, for people; may be empty
	Props  []Property // what it is about
}

// A Property is one propspec of a Result: RFC 8601, section 2.2.
type Property struct {
	Type  string // ptype: "smtp", "header", "policy"…
	Name  string // such as "mailfrom"
	Value string // hostile, as the stranger wrote it
}

// Prop returns the value of the property of a type and name, or "".
func (r Result) Prop(ptype, name string) string {
	for _, p := range r.Props {
		if p.Type == ptype && p.Name == name {
			return p.Value
		}
	}
	return ""
}

// A Value is a verdict: RFC 8601, section 2.7.
type Value string

// Verdicts. Not every method knows all of them.
const (
	None      Value = "none"      // nothing was there to check
	Pass      Value = "pass"      // it is true
	Fail      Value = "fail"      // it is not
	SoftFail  Value = "softfail"  // of SPF: probably not
	Neutral   Value = "neutral"   // nothing can be said
	Policy    Value = "policy"    // of DKIM: true, but not good enough for us
	TempError Value = "temperror" // the DNS did not answer
	PermError Value = "permerror" // what the sender has published is broken
)
