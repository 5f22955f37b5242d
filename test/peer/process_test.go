package peer

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// What claims a port is a name in the kernel: a second claim here fails as one of another
// process does.
func TestAFreePortIsGivenToNobodyElseWhileItsOwnerLives(t *testing.T) {
	given, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(strings.Fields(string(given))[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		addr, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := net.SplitHostPort(addr)
		port, err := strconv.Atoi(text)
		if err != nil || port >= first {
			t.Errorf("got %s (%v), wanted a port below %d, from which Linux gives them to whoever asks for any", addr, err, first)
		}
		if mine, err := claim(port); mine || err != nil {
			t.Errorf("%s, which is given: a second claim got %v, %v; wanted that it is refused", addr, mine, err)
		}
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			t.Fatalf("nothing can listen at a free port: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
