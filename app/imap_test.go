package app

import (
	"crypto/tls"
	"testing"

	"doppelboden/control"

	"github.com/emersion/go-imap/v2/imapclient"
)

// readerPassword is what people of these tests log in with.
const readerPassword = "ein langes Passwort"

// startReaders starts a node with mailboxes of its own, whose people have passwords.
func startReaders(t *testing.T, names ...string) (*Node, *control.Client) {
	t.Helper()
	node := install(t, "here")
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	for _, name := range names {
		addReader(t, client, name)
	}
	return n, client
}

func addReader(t *testing.T, client *control.Client, name string) {
	t.Helper()
	address := name + "@stadt.example"
	if _, err := client.AddMailbox(t.Context(), control.Mailbox{Address: address, Kind: "person", Priority: 5}); err != nil {
		t.Fatal(err)
	}
	if err := client.SetPassword(t.Context(), control.Secret{Person: address, Password: readerPassword}); err != nil {
		t.Fatal(err)
	}
}

// program logs a real IMAP client in.
func program(t *testing.T, n *Node, name string) *imapclient.Client {
	t.Helper()
	conn, err := tls.Dial("tcp", n.Listeners()["imap"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := imapclient.New(conn, nil)
	t.Cleanup(func() { c.Close() })
	if err := c.Login(name+"@stadt.example", readerPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}
