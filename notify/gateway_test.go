package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/city"
)

const (
	phone   doppelboden.Phone = "+491711234567"
	hostile                   = "Stadt \"X\"}\\, & to=+4900\r\nX-Evil: 1 {to}{text} ÄÖÜ €"
)

// parsed returns [tenant.sms] of a city.toml.
func parsed(t *testing.T, lines string) *city.SMS {
	t.Helper()
	c, err := city.Parse("city.toml", []byte("format = 1\n[[tenant]]\nname = \"stadt\"\ndomains = [\"stadt.example\"]\n[[tenant.route]]\nname = \"g\"\nhere = true\n[tenant.sms]\n"+lines))
	if err != nil {
		t.Fatal(err)
	}
	return c.Tenants[0].SMS
}

func TestEachPresetAsksAsItsGatewayWantsAndNoTextChangesTheRequest(t *testing.T) {
	for _, c := range []struct {
		preset string
		more   string
		answer string
		status int
		check  func(r *http.Request, body []byte) bool
	}{
		{"sipgate", `user = "token"`, "", 204, func(r *http.Request, body []byte) bool {
			var got map[string]string
			user, password, _ := r.BasicAuth()
			return json.Unmarshal(body, &got) == nil && len(got) == 3 && got["recipient"] == string(phone) && got["message"] == hostile &&
				got["smsId"] == "s0" && user == "token" && password == "secret"
		}},
		{"seven", "", `{"success":"100"}`, 200, func(r *http.Request, body []byte) bool {
			v, err := url.ParseQuery(string(body))
			return err == nil && len(v) == 3 && len(v["to"]) == 1 && v.Get("to") == "491711234567" && v.Get("text") == hostile && r.Header.Get("X-Api-Key") == "secret"
		}},
		{"link", "", `{}`, 200, func(r *http.Request, body []byte) bool {
			var got struct {
				To   []string `json:"recipientAddressList"`
				Text string   `json:"messageContent"`
			}
			return json.Unmarshal(body, &got) == nil && len(got.To) == 1 && got.To[0] == "491711234567" && got.Text == hostile && r.Header.Get("Authorization") == "Bearer secret"
		}},
		{"smn", "", `{}`, 201, func(r *http.Request, body []byte) bool {
			var got map[string]string
			return json.Unmarshal(body, &got) == nil && len(got) == 2 && got["endpoint"] == string(phone) && got["message"] == hostile && r.Header.Get("X-Auth-Token") == "secret"
		}},
	} {
		t.Run(c.preset, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked++
				if r.Method != "POST" || r.Header.Get("X-Evil") != "" || !c.check(r, body) {
					t.Errorf("the gateway got %s %v %q", r.Method, r.Header, body)
				}
				w.WriteHeader(c.status)
				io.WriteString(w, c.answer)
			}))
			defer server.Close()
			conf := parsed(t, "preset = \""+c.preset+"\"\nurl = \""+server.URL+"/sms\"\npassword_file = \"sms.password\"\n"+c.more)
			g := NewGateway(conf, func() (string, error) { return "secret", nil })
			if err := g.Send(t.Context(), phone, hostile); err != nil || asked != 1 {
				t.Errorf("%v; the gateway was asked %d times", err, asked)
			}
		})
	}
}

func TestWhatAGatewayAnswersIsJudgedByItsStatusAndItsText(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   doppelboden.Code
		good   bool
		unsent bool
	}{
		{name: "taken", status: 200, body: `{"success":"100"}`, good: true},
		{name: "a 200 that says no", status: 200, body: `{"success":"900"}`, want: doppelboden.Policy},
		{name: "a wrong number", status: 400, want: doppelboden.Policy, unsent: true},
		{name: "too slow", status: 408, want: doppelboden.Temporary},
		{name: "a wrong password", status: 401, want: doppelboden.Temporary, unsent: true},
		{name: "no credit", status: 402, want: doppelboden.Temporary, unsent: true},
		{name: "an end of the contract", status: 403, want: doppelboden.Temporary, unsent: true},
		{name: "another address", status: 404, want: doppelboden.Temporary, unsent: true},
		{name: "too often", status: 429, want: doppelboden.Temporary, unsent: true},
		{name: "broken", status: 502, body: "\x1b[31mbad\r\n" + strings.Repeat("x", 1<<20), want: doppelboden.Temporary},
		{name: "sent elsewhere", status: 302, want: doppelboden.Temporary},
	} {
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the password went to another server") }))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		g := NewGateway(parsed(t, "preset = \"seven\"\nurl = \""+server.URL+"\"\npassword_file = \"p\""), func() (string, error) { return "secret", nil })
		err := g.Send(t.Context(), phone, "x")
		if (err == nil) != c.good || err != nil && doppelboden.CodeOf(err) != c.want {
			t.Errorf("%s: %v (%v), want good %v, code %v", c.name, err, doppelboden.CodeOf(err), c.good, c.want)
		}
		if got := errors.As(err, new(unsent)); got != c.unsent {
			t.Errorf("%s: surely not sent %v, want %v", c.name, got, c.unsent)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\x1b\r\n") || len(err.Error()) > 400 || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: the error is %q", c.name, err)
		}
		server.Close()
		elsewhere.Close()
	}
}

func TestAnotherSuccessThanTheOneAwaitedMayHaveBeenSentAndGetsSomeRest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // 200
	defer server.Close()
	g := NewGateway(parsed(t, "preset = \"sipgate\"\nuser = \"token\"\nurl = \""+server.URL+"\"\npassword_file = \"p\""), func() (string, error) { return "secret", nil })
	if err := g.Send(t.Context(), phone, "x"); err == nil || doppelboden.CodeOf(err) != doppelboden.Policy || errors.As(err, new(unsent)) {
		t.Errorf("200 where 204 is awaited: %v, want a refusal after which it may have been sent", err)
	}
}

func TestAGatewayThatIsNotThereOrHasNoPasswordIsAskedAgain(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	conf := parsed(t, "preset = \"seven\"\nurl = \""+server.URL+"\"\npassword_file = \"p\"")
	for name, secret := range map[string]func() (string, error){
		"down": func() (string, error) { return "secret", nil }, "no password": func() (string, error) { return "", os.ErrNotExist },
	} {
		if err := NewGateway(conf, secret).Send(t.Context(), phone, "x"); doppelboden.CodeOf(err) != doppelboden.Temporary || !errors.As(err, new(unsent)) {
			t.Errorf("%s: %v, want a temporary error after which surely nothing was sent", name, err)
		}
	}
}

func TestAProgramGetsTheNumberAsAnArgumentAndTheTextOnItsInput(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "sms")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" \"$2\" > "+dir+"/args\ncat > "+dir+"/text\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	g := NewGateway(parsed(t, `command = ["`+script+`", "--to={digits}", "{text}"]`), nil)
	if err := g.Send(t.Context(), phone, hostile); err != nil {
		t.Fatal(err)
	}
	args, _ := os.ReadFile(dir + "/args")
	text, _ := os.ReadFile(dir + "/text")
	if want := "2\n--to=491711234567\n{text}\n"; string(args) != want || string(text) != hostile {
		t.Errorf("arguments %q and text %q, want %q and %q", args, text, want, hostile)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no modem >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := g.Send(t.Context(), phone, "x"); err == nil || !strings.Contains(err.Error(), "no modem") || doppelboden.CodeOf(err) != doppelboden.Temporary || errors.As(err, new(unsent)) {
		t.Errorf("a program that fails: %v, want a temporary error with its words, after which it may have sent", err)
	}
	if err := os.Remove(script); err != nil {
		t.Fatal(err)
	}
	if err := g.Send(t.Context(), phone, "x"); !errors.As(err, new(unsent)) || doppelboden.CodeOf(err) != doppelboden.Temporary {
		t.Errorf("a program that is not there: %v, want a temporary error after which surely nothing was sent", err)
	}
}
