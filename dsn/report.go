package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"doppelboden"
)

// An Action is what became of one recipient's delivery: RFC 3464, section 2.3.3.
type Action string

const (
	// Failed: it was not delivered and is not tried again.
	Failed Action = "failed"
	// Delayed: it waits and is tried again.
	Delayed Action = "delayed"
	// Delivered: it lies in the recipient's mailbox.
	Delivered Action = "delivered"
	// Relayed: a server took it that does not tell the sender more.
	Relayed Action = "relayed"
)

// A Report is what a sender is to be told about one message.
type Report struct {
	ID       string              // makes the Message-ID; letters, digits and hyphens
	Hostname string              // our name, for Reporting-MTA
	From     doppelboden.Address // a person who is responsible for this mail system
	To       doppelboden.Address // the sender of the message
	Date     time.Time           // of the notification, in the zone that people there read

	EnvID    string    // ENVID as it came (xtext), or empty
	Helo     string    // of the client that brought the message, or empty; hostile
	Arrived  time.Time // when the message was received
	Receipt  string    // the number that its sender got with the 250, or empty
	SMTPUTF8 bool      // the message came with SMTPUTF8

	Recipients []Recipient // at least one
	Original   Original
}

// A Recipient is one recipient of the message.
type Recipient struct {
	Address     doppelboden.Address // the final recipient
	ORcpt       string              // ORCPT as it came, or empty
	Action      Action
	Status      string            // RFC 3463, such as "5.1.1"; empty or nonsense: one that fits Action
	Server      string            // the next server, host:port or host; or empty
	Reply       doppelboden.Reply // its words; Code 0 when there were none, and then Text is ours
	LastAttempt time.Time         // or zero
	Until       time.Time         // of Delayed: when trying ends, or zero
	Why         string            // of Failed: the reason that a person gave, or empty
}

// An Original is the message that the report is about.
type Original struct {
	Header []byte // its header section, without the empty line; may be cut off
	Body   []byte // what follows the empty line
	Whole  bool   // Body is all there is and may be returned; else only Header is
}

// A Content is a finished notification.
type Content struct {
	Bytes    []byte
	EightBit bool // RFC 6152: lines hold octets above 127
	SMTPUTF8 bool // RFC 6531: the header of the notification holds UTF-8
}

// Build writes the notification. An error says that the report makes none.
func Build(r Report) (Content, error) {
	if err := r.check(); err != nil {
		return Content{}, fmt.Errorf("write notification: %w", err)
	}
	original, whole := r.originalPart()
	parts := []part{r.humanPart(whole), r.statusPart(), original}
	c := Content{SMTPUTF8: !r.To.IsASCII()}
	for _, p := range parts {
		c.EightBit = c.EightBit || p.encoding == "8bit"
	}
	boundary := r.boundary(parts)
	var b bytes.Buffer
	r.header(&b, boundary, c)
	// RFC 6522, section 3: the parts stand in this order.
	b.WriteString("This is a delivery status notification in MIME format.\r\n")
	for _, p := range parts {
		b.WriteString("\r\n--" + boundary + "\r\n")
		p.write(&b)
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	c.Bytes = b.Bytes()
	return c, nil
}

// check refuses what no notification can be made of.
func (r *Report) check() error {
	switch {
	case r.ID == "" || !isToken(r.ID):
		return errors.New("its id is not of letters, digits and hyphens")
	case r.Hostname == "" || r.Hostname != hostname(r.Hostname):
		return errors.New("it has no host name")
	case r.From.IsNull() || r.To.IsNull():
		return errors.New("nobody to write to, or nobody who writes")
	case len(r.Recipients) == 0:
		return errors.New("it is about no recipient")
	}
	for _, to := range r.Recipients {
		switch to.Action {
		case Failed, Delayed, Delivered, Relayed:
		default:
			return fmt.Errorf("there is no action %q", to.Action)
		}
	}
	return nil
}

// header writes the notification's own header.
func (r *Report) header(b *bytes.Buffer, boundary string, c Content) {
	line := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	line("Date", r.Date.Format(time.RFC1123Z))
	line("From", `"Mail Delivery System" <`+r.From.String()+">")
	line("To", "<"+r.To.String()+">")
	line("Subject", r.subject())
	line("Message-ID", "<"+r.ID+"@"+r.Hostname+">")
	if id := messageID(r.Original.Header); id != "" {
		// RFC 3834, section 3.1.5 and 3.1.6: so that it is shown with the mail.
		line("In-Reply-To", id)
		line("References", id)
	}
	// RFC 3834, section 5: nobody's program must answer this.
	line("Auto-Submitted", "auto-replied")
	line("MIME-Version", "1.0")
	line("Content-Type", "multipart/report; report-type=delivery-status;\r\n\tboundary=\""+boundary+"\"")
	if c.EightBit {
		line("Content-Transfer-Encoding", "8bit")
	}
	b.WriteString("\r\n")
}

// boundary returns a line that no part holds.
func (r *Report) boundary(parts []part) string {
	for n := 0; ; n++ {
		boundary := fmt.Sprintf("=_%s_%d", r.ID[:min(len(r.ID), 50)], n)
		free := true
		for _, p := range parts {
			free = free && !bytes.Contains(p.body, []byte("--"+boundary))
		}
		if free {
			return boundary
		}
	}
}

// A part is one body part of the report.
type part struct {
	kind     string // value of Content-Type
	about    string // value of Content-Description
	encoding string // "7bit", "8bit" or "quoted-printable"
	body     []byte // encoded; ends in CRLF
}

func (p *part) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "Content-Description: %s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", p.about, p.kind, p.encoding)
	b.Write(p.body)
}

// international reports whether the report needs the types of RFC 6533.
func (r *Report) international() bool {
	if r.SMTPUTF8 || !r.To.IsASCII() {
		return true
	}
	for i := range r.Recipients {
		if !r.Recipients[i].Address.IsASCII() {
			return true
		}
	}
	return false
}
