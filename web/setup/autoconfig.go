package setup

import (
	"encoding/xml"
	"net/http"

	"doppelboden/web"
)

// clientConfig is Thunderbird's format of autoconfiguration, version 1.1, as published at
// wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat and, later, in
// draft-ietf-mailmaint-autoconfig. testdata/autoconfig.rng has what of it is used here.
type clientConfig struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider provider `xml:"emailProvider"`
}

type provider struct {
	ID       string `xml:"id,attr"`
	Domain   string `xml:"domain"`
	Name     string `xml:"displayName"`
	Short    string `xml:"displayShortName"`
	Incoming *server
	Outgoing *server
}

// A server is an incomingServer or outgoingServer.
type server struct {
	XMLName        xml.Name
	Type           string `xml:"type,attr"`
	Host           string `xml:"hostname"`
	Port           int    `xml:"port"`
	Socket         string `xml:"socketType"`
	User           string `xml:"username"`
	Authentication string `xml:"authentication"`
}

// autoconfig answers Thunderbird, and others that ask the same way. Nothing in the answer
// is the asking one's word.
func (d *Door) autoconfig(w http.ResponseWriter, r *http.Request) error {
	domain, name, ok := d.domain(r, r.URL.Query().Get("emailaddress"))
	p := d.o.Ports()
	if !ok || p.IMAPS == 0 {
		return web.ErrNotFound
	}
	c := clientConfig{Version: "1.1", Provider: provider{
		ID: domain, Domain: domain, Name: name, Short: name,
		Incoming: &server{XMLName: xml.Name{Local: "incomingServer"}, Type: "imap", Host: d.o.Host, Port: p.IMAPS, Socket: "SSL",
			User: "%EMAILADDRESS%", Authentication: "password-cleartext"},
	}}
	out := &server{XMLName: xml.Name{Local: "outgoingServer"}, Type: "smtp", Host: d.o.Host, User: "%EMAILADDRESS%", Authentication: "password-cleartext"}
	switch {
	case p.Submissions != 0:
		out.Port, out.Socket = p.Submissions, "SSL"
	case p.Submission != 0:
		out.Port, out.Socket = p.Submission, "STARTTLS"
	default:
		out = nil
	}
	c.Provider.Outgoing = out
	return writeXML(w, c)
}

// writeXML answers with a document.
func writeXML(w http.ResponseWriter, document any) error {
	text, err := xml.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = w.Write(append([]byte(xml.Header), append(text, '\n')...))
	return nil
}
