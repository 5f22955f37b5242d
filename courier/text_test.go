package courier

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"doppelboden"

	"pgregory.net/rapid"
)

// TestATextIsWhatTheServerKeepsOfTheSameMail compares Text with what is sent between DATA
// and the final dot, after a server has taken the stuffed dots out again (RFC 5321,
// section 4.5.2).
func TestATextIsWhatTheServerKeepsOfTheSameMail(t *testing.T) {
	var text Text
	rapid.Check(t, func(rt *rapid.T) {
		head := rapid.SampledFrom([]string{"", "Subject: x\r\n\r\n", "Authentication-Results: mx.example; spf=pass\r\nSubject: y\r\n\r\n"}).Draw(rt, "head")
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{".", "a", "\n", "\r\n", "..", "\r", "\x00", strings.Repeat("x", 20_000)}), 0, 12).Draw(rt, "parts")
		body := head + strings.Join(parts, "")
		prefix := "Received: by us\r\n"
		var c content
		sent, wrong := convert(&c, prefix, body, "mx.example", nil)
		lines := strings.SplitAfter(sent, "\r\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, ".")
		}
		want := strings.Join(lines, "")
		m := &doppelboden.Message{Prefix: []byte(prefix), Body: doppelboden.Body{Size: int64(len(body))}}
		o := Options{Bodies: oneBody{body, nil}, AuthservID: "mx.example"}
		err := text.Open(o, m)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(iotest.OneByteReader(&text))
		}
		text.Close()
		if (err == nil) != (wrong == nil) || err != nil && Unfit(err) != Unfit(wrong) {
			rt.Fatalf("Text of %q: error %v, the courier says %v", body, err, wrong)
		}
		if err == nil && string(got) != want {
			rt.Fatalf("Text of %q is %q, want %q", body, got, want)
		}
	})
}

func TestATextLeavesOutWhatClaimsToBeOurScannersWord(t *testing.T) {
	marks := func(line []byte) bool { return strings.HasPrefix(string(line), "X-Ours:") }
	body := "X-Ours: clean\r\nSubject: x\r\n\r\nX-Ours: stays\r\n"
	for state, want := range map[doppelboden.ScanState]string{
		doppelboden.Clean:      "Subject: x\r\n\r\nX-Ours: stays\r\n",
		doppelboden.NotScanned: body,
	} {
		var text Text
		m := &doppelboden.Message{Scan: state, Body: doppelboden.Body{Size: int64(len(body))}}
		if err := text.Open(Options{Bodies: oneBody{body, nil}, Marks: marks}, m); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(&text)
		if err != nil || string(got) != want {
			t.Errorf("of a mail that is %v: %q, %v; want %q", state, got, err, want)
		}
		text.Close()
	}
}
