package imapd

import (
	"strings"
	"testing"
)

// That every mail is freed is looked at by each test when its rig ends.
func TestMailsThatWereOpenedAheadAreFreedWhenTheirClientHangsUp(t *testing.T) {
	r := start(t, nil)
	for range 8 { // more than lies in buffers and between the two goroutines
		r.put(t, 1, 1, 0, mail("x", strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", 30000)))
	}
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	c.send("a FETCH 1:* BODY.PEEK[]\r\n")
	c.want("* 1 FETCH")
	c.conn.Close()
}
