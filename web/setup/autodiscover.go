package setup

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"

	"doppelboden"
)

// Limits of what Outlook sends; it sends some 400 bytes.
const (
	mostAsked = 8 << 10
	mostDepth = 8
)

// outlookResponse is the answer of autodiscover: [MS-OXDSCLI], section 2.2.4.
type outlookResponse struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response response
}

type response struct {
	XMLName xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
	Account account
}

type account struct {
	Type     string     `xml:"AccountType"`
	Action   string     `xml:"Action"`
	Protocol []protocol `xml:"Protocol"`
}

type protocol struct {
	Type         string `xml:"Type"`
	Server       string `xml:"Server"`
	Port         int    `xml:"Port"`
	LoginName    string `xml:"LoginName"`
	SPA          string `xml:"SPA"`
	SSL          string `xml:"SSL"`
	Encryption   string `xml:"Encryption"`
	AuthRequired string `xml:"AuthRequired"`
}

// autodiscover answers Outlook.
func (d *Door) autodiscover(w http.ResponseWriter, r *http.Request) {
	address, err := askedAddress(http.MaxBytesReader(w, r.Body, mostAsked))
	if err != nil {
		http.Error(w, "Das ist keine Anfrage von Autodiscover. / This is no question of Autodiscover.", http.StatusBadRequest)
		return
	}
	_, _, ok := d.domain(r, "@"+address.Domain)
	p := d.o.Ports()
	if !ok || p.IMAPS == 0 {
		http.Error(w, "Diese Adresse gehört nicht zu uns. / This address is none of ours.", http.StatusNotFound)
		return
	}
	login := address.String()
	a := account{Type: "email", Action: "settings", Protocol: []protocol{
		{Type: "IMAP", Server: d.o.Host, Port: p.IMAPS, LoginName: login, SPA: "off", SSL: "on", Encryption: "SSL", AuthRequired: "on"},
	}}
	switch {
	case p.Submissions != 0:
		a.Protocol = append(a.Protocol, protocol{Type: "SMTP", Server: d.o.Host, Port: p.Submissions, LoginName: login, SPA: "off", SSL: "on", Encryption: "SSL", AuthRequired: "on"})
	case p.Submission != 0:
		a.Protocol = append(a.Protocol, protocol{Type: "SMTP", Server: d.o.Host, Port: p.Submission, LoginName: login, SPA: "off", SSL: "on", Encryption: "TLS", AuthRequired: "on"})
	}
	if err := writeXML(w, outlookResponse{Response: response{Account: a}}); err != nil {
		http.Error(w, "Bitte versuchen Sie es noch einmal. / Please try again.", http.StatusInternalServerError)
	}
}

// errAsked is the error for what is no question.
var errAsked = errors.New("no question of autodiscover")

// askedAddress reads the address in a question. Go's decoder knows no entities but the five
// of XML itself and fetches nothing; directives are refused all the same, and depth and
// length are bounded.
func askedAddress(r io.Reader) (doppelboden.Address, error) {
	dec := xml.NewDecoder(io.LimitReader(r, mostAsked))
	dec.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errAsked }
	var path []string
	for {
		token, err := dec.Token()
		if err != nil {
			return doppelboden.Address{}, errAsked
		}
		switch token := token.(type) {
		case xml.Directive:
			return doppelboden.Address{}, errAsked
		case xml.StartElement:
			if path = append(path, token.Name.Local); len(path) > mostDepth {
				return doppelboden.Address{}, errAsked
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) == 3 && path[0] == "Autodiscover" && path[1] == "Request" && path[2] == "EMailAddress" {
				return doppelboden.ParseAddress(string(token))
			}
		}
	}
}
