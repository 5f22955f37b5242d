package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"doppelboden"
)

// The second lock (decision 0025). Every table whose rows belong to a tenant has a policy
// for everybody but its owner, the node's own role: rows of the tenant that a setting names
// are seen, and without it none. What is read on behalf of one tenant is read as another
// role, which may read these tables and nothing else; so a query that forgets its tenant
// shows nothing of others.

// tenantSuffix makes the name of the role that reads for one tenant out of the node's.
const tenantSuffix = "_tenant"

// policyText is the lock of a table. It is for every role, so that it names none: a copy of
// the database can be restored where roles are called differently.
const policyText = `ALTER TABLE %[1]s ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS tenant ON %[1]s; CREATE POLICY tenant ON %[1]s
	USING (tenant = (SELECT nullif(current_setting('doppelboden.tenant', true), '')::bigint))`

// A tableLock is how the second lock of a table is.
type tableLock struct {
	name, owner     string
	locked, granted bool
}

// guard makes sure that the second lock is there, for the node's role. It changes only what
// is missing, so that it waits for no node that runs.
func (c *conn) guard(ctx context.Context, user string) error {
	role := quoteName(user + tenantSuffix)
	tables, err := c.tableLocks(ctx, user+tenantSuffix)
	if err != nil {
		return fmt.Errorf("look for policies: %w", err)
	}
	missing := []string{"GRANT USAGE ON SCHEMA " + schema + " TO " + role}
	for _, t := range tables {
		if t.owner != user {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf(
				"the table %s of the database belongs to the role %s, and the node logs in as %s, who must own it", t.name, t.owner, user)}
		}
		if !t.locked {
			missing = append(missing, fmt.Sprintf(policyText, quoteName(t.name)))
		}
		if !t.granted {
			missing = append(missing, "GRANT SELECT ON "+quoteName(t.name)+" TO "+role)
		}
	}
	if len(missing) == 1 {
		return nil
	}
	err = c.script(ctx, fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d); %s; COMMIT", lockMigration, strings.Join(missing, "; ")))
	if err != nil {
		return fmt.Errorf("write policies: %w", err)
	}
	return nil
}

// tableLocks returns how the locks of all tables with a tenant are.
func (c *conn) tableLocks(ctx context.Context, role string) (tables []tableLock, err error) {
	err = c.query(ctx, func(r row) error {
		tables = append(tables, tableLock{name: asText(r[0]), owner: asText(r[1]), locked: asBool(r[2]), granted: asBool(r[3])})
		return nil
	}, `SELECT k.relname::text, pg_get_userbyid(k.relowner)::text,
			k.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = k.oid AND p.polname = 'tenant'),
			has_schema_privilege($1, k.relnamespace, 'USAGE') AND has_table_privilege($1, k.oid, 'SELECT')
		FROM pg_class k WHERE k.relnamespace = '`+schema+`'::regnamespace AND k.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = k.oid AND a.attname = 'tenant' AND NOT a.attisdropped) ORDER BY k.relname`, role)
	return tables, err
}

// tenantRole returns the node's own role, after it has seen that it may become the one that
// reads for a tenant, and that neither of them passes through policies.
func (c *conn) tenantRole(ctx context.Context) (string, error) {
	r, err := c.one(ctx, `SELECT u.rolname::text, u.rolsuper OR u.rolbypassrls, EXISTS (SELECT FROM pg_roles t
			WHERE t.rolname = u.rolname || $1 AND NOT t.rolsuper AND NOT t.rolbypassrls AND pg_has_role(u.oid, t.oid, 'MEMBER'))
		FROM pg_roles u WHERE u.rolname = current_user`, tenantSuffix)
	if err != nil {
		return "", fmt.Errorf("read roles: %w", err)
	}
	user := asText(r[0])
	if asBool(r[1]) {
		return "", &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf(
			"the node logs in to PostgreSQL as %s, whom no policy stops: give it a role without SUPERUSER and BYPASSRLS", user)}
	}
	if !asBool(r[2]) {
		u, t := quoteName(user), quoteName(user+tenantSuffix)
		return "", &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf(
			"PostgreSQL has no role %s that the node's may become; an administrator of PostgreSQL makes it with: CREATE ROLE %s NOLOGIN; GRANT %s TO %s",
			t, t, t, u)}
	}
	return user, nil
}

// quoteName quotes a name for SQL.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// readAs lends a connection on which nothing but rows of one tenant can be seen. Its
// statements see one state.
func (s *Store) readAs(ctx context.Context, tenant doppelboden.TenantID, f func(c *conn) error) error {
	return s.snapshot(ctx, func(c *conn) error {
		// Both end with the transaction.
		_, err := c.exec(ctx, "SELECT set_config('doppelboden.tenant', $2, true), set_config('role', current_user || $1, true)",
			tenantSuffix, strconv.FormatInt(int64(tenant), 10))
		if err != nil {
			return fmt.Errorf("become the role of a tenant: %w", err)
		}
		return f(c)
	})
}

// readFor is readAs for a tenant, and snapshot for the node itself (0).
func (s *Store) readFor(ctx context.Context, tenant doppelboden.TenantID, f func(c *conn) error) error {
	if tenant == 0 {
		return s.snapshot(ctx, f)
	}
	return s.readAs(ctx, tenant, f)
}
