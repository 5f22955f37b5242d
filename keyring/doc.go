// Package keyring holds the keys of tenants: in memory, and wrapped in the database.
//
// Three layers: the master key lies in a file of the node; each tenant has a key of 32
// random bytes, wrapped by the master key (AES-256-GCM; tenant and version are bound
// to it) and kept in store.Keys; each body has a key of its own, wrapped by its
// tenant's key (the tenant is bound to it) and kept in doppelboden.Body. Every key has
// versions, so each layer can be changed without touching the one below: a new master
// key wraps some hundred tenants' keys again, a new tenant's key wraps body keys again
// in batches. No body is ever written again.
//
// The package promises that a version of a key is deleted only when nothing that it
// wraps is left in the database and nothing that was wrapped with it can still get
// there. It never writes a key in clear anywhere but into the master file, and never
// prints one.
//
// Wrapping uses random nonces of 96 bits, for which NIST SP 800-38D, section 8.3,
// allows 2^32 uses of one key. A city of 54,000 mails a day needs 200 years for that;
// a tenant's key should be rotated each year anyway.
package keyring
