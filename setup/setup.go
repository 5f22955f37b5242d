// Package setup makes the folder of a new installation: the two configurations, the
// keys, a certificate and an empty data folder.
//
// It takes a domain and where its mail goes. It promises that the folder appears whole
// or not at all, that the configurations are ones that package city accepts, and that
// only the owner may read the keys. It never writes into a folder that holds anything.
package setup

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/net/idna"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/keyring"
	"doppelboden/ledger"
)

// Options say what is made.
type Options struct {
	Dir         string // the folder; must not exist, or be empty
	Domain      string // of the first tenant; U-labels are fine
	Groupware   string // smtp://host:port, lmtp://host:port or here
	Listen      string // IP address of the listeners
	MXPort      int    // 0: any free one
	Submission  int    // port for own senders; 0: any free one
	MetricsPort int    // 0: any free one
	WebPort     int    // 0: any free one
	IMAPSPort   int    // the same
	Hostname    string // name in the DNS; empty: "mx." and the domain
	DNS         string // name server as address:port, or "none"; empty: those of the machine
	// Emergency: the city has no groupware at the moment and never prepared. Mail waits for a
	// groupware to come, people work in emergency mailboxes and answer from here, and mail
	// for people whom nobody has listed yet is kept.
	Emergency bool
	ACME      string    // URL of the authority that makes the certificate; empty: none does
	Now       time.Time // start of the certificate's validity
}

// Nowhere stands for a groupware that is to come: RFC 6761, section 6.4, promises that no
// such host ever exists.
const Nowhere = "smtp://groupware.invalid:25"

// Names within the folder.
const (
	NodeFile   = "node.toml"
	CityFile   = "city.toml"
	MasterFile = "master.key" // within Node.Keys
	LedgerFile = "ledger.key" // within Node.Keys
	// LedgerPublicFile is for whoever verifies an export of the ledger elsewhere.
	LedgerPublicFile = "ledger.pub" // within Node.Keys
)

//go:embed node.toml.tmpl
var nodeText string

//go:embed city.toml.tmpl
var cityText string

// values fill the templates.
type values struct {
	Emergency                                                                    bool
	ACME, Page                                                                   string
	Tenant, Domain, Groupware, Hostname, DNS, MX, Submission, Metrics, Web, IMAP string
}

// Create makes the folder and returns the node it describes. CodeOf(err) is Invalid
// when the options are wrong or the folder holds something.
func Create(o Options) (*city.Node, error) {
	v, err := o.values()
	if err != nil {
		return nil, err
	}
	dir := filepath.Clean(o.Dir)
	if err := mustBeFree(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(dir), ".doppelboden-init-")
	if err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	defer os.RemoveAll(draft)
	if err := fill(draft, v, o.Now); err != nil {
		return nil, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace the empty folder: %w", err)
	}
	if err := os.Rename(draft, dir); err != nil {
		return nil, fmt.Errorf("put the folder in its place: %w", err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	return ReadNode(filepath.Join(dir, NodeFile))
}

// ReadNode reads a node.toml.
func ReadNode(path string) (*city.Node, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the node's configuration: %w", err)
	}
	return city.ParseNode(path, text)
}

// values checks the options and fills in what was left out.
func (o *Options) values() (values, error) {
	a, err := doppelboden.ParseAddress("x@" + o.Domain)
	if err != nil || strings.HasPrefix(a.Domain, "[") {
		return values{}, invalid("the domain is not one: write it as musterstadt.de")
	}
	v := values{Domain: a.Domain, Groupware: o.Groupware, Hostname: o.Hostname, DNS: o.DNS, Emergency: o.Emergency, ACME: o.ACME}
	if v.Groupware == "" && o.Emergency {
		v.Groupware = Nowhere
	}
	if v.Hostname == "" {
		v.Hostname = "mx." + a.Domain
	}
	// People read city.toml, so it has the umlauts.
	if readable, err := idna.Lookup.ToUnicode(a.Domain); err == nil {
		v.Domain = readable
	}
	v.Tenant = tenantName(v.Domain)
	if v.Groupware != "here" {
		if _, problem := city.ParseHost(v.Groupware); !problem.IsZero() {
			return values{}, invalid("the groupware: " + problem.String() + "; write smtp://host:port, lmtp://host:port or here")
		}
	}
	if net.ParseIP(o.Listen) == nil {
		return values{}, invalid("the address to listen at is not an IP address")
	}
	v.MX = net.JoinHostPort(o.Listen, strconv.Itoa(o.MXPort))
	v.Submission = net.JoinHostPort(o.Listen, strconv.Itoa(o.Submission))
	v.Web = net.JoinHostPort(o.Listen, strconv.Itoa(o.WebPort))
	v.Page = "https://" + v.Hostname
	if o.WebPort != 443 {
		v.Page = "https://" + net.JoinHostPort(v.Hostname, strconv.Itoa(o.WebPort))
	}
	v.IMAP = net.JoinHostPort(o.Listen, strconv.Itoa(o.IMAPSPort))
	v.Metrics = net.JoinHostPort(o.Listen, strconv.Itoa(o.MetricsPort))
	if o.Emergency {
		v.Metrics = net.JoinHostPort("127.0.0.1", strconv.Itoa(o.MetricsPort)) // they are nobody's outside
	}
	return v, nil
}

// tenantName makes a name of the first part of a domain.
func tenantName(domain string) string {
	label, _, _ := strings.Cut(domain, ".")
	label = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss").Replace(label)
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, label)
	if name = strings.Trim(name, "-"); name == "" {
		return "city"
	}
	return name
}

func invalid(text string) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: text}
}

// mustBeFree refuses a folder with anything in it.
func mustBeFree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the folder: %w", err)
	}
	return invalid("the folder is not empty; nothing was changed")
}

// fill writes everything into the folder.
func fill(dir string, v values, now time.Time) error {
	for _, sub := range []string{"data", "keys"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
	}
	node, err := render(NodeFile, nodeText, v)
	if err != nil {
		return err
	}
	if _, err := city.ParseNode(NodeFile, node); err != nil {
		return err
	}
	town, err := render(CityFile, cityText, v)
	if err != nil {
		return err
	}
	if _, err := city.Parse(CityFile, town); err != nil {
		return err
	}
	keys := filepath.Join(dir, "keys")
	if err := keyring.NewMaster(filepath.Join(keys, MasterFile)); err != nil {
		return fmt.Errorf("make the master key: %w", err)
	}
	signer, err := ledger.NewKey(filepath.Join(keys, LedgerFile))
	if err != nil {
		return err
	}
	public, err := ledger.MarshalPublicKey(signer.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	cert, key, err := selfSigned(v.Hostname, now)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
		mode os.FileMode
	}{
		{"keys/" + LedgerPublicFile, public, 0o644}, {"keys/cert.pem", cert, 0o644},
		{"keys/key.pem", key, 0o600}, {CityFile, town, 0o644}, {NodeFile, node, 0o644},
	} {
		if err := write(filepath.Join(dir, f.name), f.text, f.mode); err != nil {
			return err
		}
	}
	if err := syncDir(keys); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // MkdirTemp made it 0700
		return fmt.Errorf("open the folder: %w", err)
	}
	return syncDir(dir)
}

func render(name, text string, v values) ([]byte, error) {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the template of %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("fill in %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// selfSigned makes a certificate for STARTTLS that is good enough for a start: servers
// that send mail encrypt with any (RFC 7435).
func selfSigned(hostname string, now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate's key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: hostname},
		DNSNames:     []string{hostname},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &private.PublicKey, private)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the certificate's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// write writes a new file and syncs it. The folder is renamed into its place
// afterwards, so the file itself needs no temporary name.
func write(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write a file: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write a file: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	return nil
}
