package setup

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"text/template"

	"doppelboden/web"
)

// A profile is what Apple's programs are set up with: Apple, "Configuration Profile
// Reference", payload com.apple.mail.managed.
type profile struct {
	servers
	name     string // of the person; may be empty
	language web.Language
}

var plistText = template.Must(template.New("profile").Funcs(template.FuncMap{"x": escaped}).Parse(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadContent</key>
	<array>
		<dict>
			<key>EmailAccountDescription</key><string>{{x .Title}}</string>
			<key>EmailAccountName</key><string>{{x .Name}}</string>
			<key>EmailAccountType</key><string>EmailTypeIMAP</string>
			<key>EmailAddress</key><string>{{x .User}}</string>
			<key>IncomingMailServerAuthentication</key><string>EmailAuthPassword</string>
			<key>IncomingMailServerHostName</key><string>{{x .Host}}</string>
			<key>IncomingMailServerPortNumber</key><integer>{{.IMAP}}</integer>
			<key>IncomingMailServerUseSSL</key><true/>
			<key>IncomingMailServerUsername</key><string>{{x .User}}</string>
			<key>IncomingPassword</key><string>{{x .Password}}</string>
{{- if .SMTP}}
			<key>OutgoingMailServerAuthentication</key><string>EmailAuthPassword</string>
			<key>OutgoingMailServerHostName</key><string>{{x .Host}}</string>
			<key>OutgoingMailServerPortNumber</key><integer>{{.SMTP}}</integer>
			<key>OutgoingMailServerUseSSL</key><true/>
			<key>OutgoingMailServerUsername</key><string>{{x .User}}</string>
			<key>OutgoingPasswordSameAsIncomingPassword</key><true/>
{{- end}}
			<key>PayloadDisplayName</key><string>{{x .Title}}</string>
			<key>PayloadIdentifier</key><string>{{x .Identifier}}.mail</string>
			<key>PayloadType</key><string>com.apple.mail.managed</string>
			<key>PayloadUUID</key><string>{{.MailUUID}}</string>
			<key>PayloadVersion</key><integer>1</integer>
			<key>SMIMEEnabled</key><false/>
		</dict>
	</array>
	<key>PayloadDescription</key><string>{{x .Description}}</string>
	<key>PayloadDisplayName</key><string>{{x .Title}}</string>
	<key>PayloadIdentifier</key><string>{{x .Identifier}}</string>
	<key>PayloadRemovalDisallowed</key><false/>
	<key>PayloadType</key><string>Configuration</string>
	<key>PayloadUUID</key><string>{{.UUID}}</string>
	<key>PayloadVersion</key><integer>1</integer>
</dict>
</plist>
`))

// escaped makes text that may stand in a document.
func escaped(s string) (string, error) {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "", err
	}
	return b.String(), nil
}

// plist returns the profile. A later one for the same address takes the place of the first
// on the telephone, for its identifier is the same.
func (p profile) plist() ([]byte, error) {
	title, description := "Notfallpostfach", "E-Mail, solange das gewohnte Postfach nicht geht."
	if p.language == web.English {
		title, description = "Emergency mailbox", "Mail for as long as your usual mailbox does not work."
	}
	name := p.name
	if name == "" {
		name = p.User
	}
	var b bytes.Buffer
	err := plistText.Execute(&b, struct {
		servers
		Title, Description, Name, Identifier, UUID, MailUUID string
	}{p.servers, title, description, name, "doppelboden." + p.Host + "." + p.User, newUUID(), newUUID()})
	if err != nil {
		return nil, fmt.Errorf("write the profile: %w", err)
	}
	return b.Bytes(), nil
}

// newUUID: RFC 9562, section 5.4.
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // it never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
