package courier

import (
	"strings"
	"testing"
)

func TestWhatIsSaidAboutUsIsToldFromWhatIsSaidAboutTheMail(t *testing.T) {
	for _, c := range []struct {
		reply string
		us    bool
	}{
		// About us, in the words of Postfix, Exchange Online, Gmail, Outlook.com, Yahoo,
		// Telekom, GMX, web.de, Exim and sendmail.
		{"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1", true},
		{"550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit", true},
		{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", true},
		{"550-5.7.26 This mail has been blocked because the sender is unauthenticated.", true},
		{"550-5.7.25 The IP address sending this message does not have a PTR record setup", true},
		{"550-5.7.1 [192.0.2.1 18] Our system has detected that this message is not RFC 5322 compliant", false},
		{"553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list", true},
		{"554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to clarify.) (BL)", false},
		{"554 Transaction failed Reject due to policy restrictions: reverse DNS", true},
		{"550 Administrative prohibition: DMARC policy of musterstadt.de", true},
		{"550 5.7.1 Relaying denied", true},
		{"554 5.7.1 <clerk@example.org>: Relay access denied", true},
		{"550 5.7.23 The message was rejected because of Sender Policy Framework violation", true},
		{"553 5.1.8 <x@musterstadt.de>... Domain of sender address does not exist", true},
		{"550 rejected because 192.0.2.1 is in a black list at dnsbl.sorbs.net", true},

		// About the mail or its recipient.
		{"550 5.1.1 <clerk@example.org>: Recipient address rejected: User unknown in virtual mailbox table", false},
		{"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", false},
		{"550 <spf@example.org>: recipient rejected", false},
		{"550 <rbl@blacklist.example>: recipient rejected", false},
		{"554 5.7.1 Message rejected as spam by Content Filtering", false},
		{"550 5.7.1 attachment with a banned file type", false},
		{"554 5.6.0 Message contains a virus, your IP address was logged", false},
		{"552 5.3.4 Message size exceeds fixed limit", false},
		{"550 5.2.1 The mailbox is banned from receiving", false},
		{"550 No such user here, access denied", false},
		{"550 horribly wrong in Marburg", false},
		{"550 no", false},
		{"550", false},
	} {
		code, text, _ := strings.Cut(c.reply, " ")
		code, rest, many := strings.Cut(code, "-")
		if many {
			text = rest + " " + text
		}
		r := reply{code: 550, text: []byte(text)}.public()
		if got := aboutUs(r); got != c.us {
			t.Errorf("%s %q (enhanced %q): about us %v, want %v", code, text, r.Enhanced, got, c.us)
		}
	}
}
