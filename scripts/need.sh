#!/bin/bash
# Installs the Debian packages that the tests need, where they are missing. Says
# nothing when nothing is missing. Runs as root on Debian 12 and 13.
#
# Postfix and Dovecot start as services when they are installed. The tests start their
# own on free ports, so while packages are installed policy-rc.d forbids every start, and
# Debian's PostgreSQL makes no database of its own. What drives Chromium comes from npm,
# into a cache of the user (browser.sh).
set -eu

# Program or file that shows that a package is there : the package.
needs=(
    /usr/sbin/postfix:postfix
    /usr/sbin/smtp-source:postfix
    /usr/sbin/dovecot:dovecot-core
    /usr/lib/dovecot/lmtp:dovecot-lmtpd
    /usr/lib/dovecot/imap:dovecot-imapd
    /usr/bin/sievec:dovecot-sieve
    /usr/bin/swaks:swaks
    /usr/sbin/slapd:slapd
    /usr/bin/ldapmodify:ldap-utils
    /usr/bin/rspamd:rspamd
    /usr/sbin/clamd:clamav-daemon
    /usr/share/doc/libnet-ssleay-perl:libnet-ssleay-perl
    /usr/share/doc/postgresql:postgresql # its programs lie in a folder with their version
    /usr/bin/qemu-system-x86_64:qemu-system-x86
    /usr/bin/qemu-img:qemu-utils
    /bin/cpio:cpio
    /usr/bin/xz:xz-utils          # kernel modules of Debian 13
    /sbin/mkfs.ext4:e2fsprogs
    /bin/ip:iproute2
    /usr/bin/gcc:gcc              # go test -race
    /usr/include/stdlib.h:libc6-dev
    /usr/bin/pdftotext:poppler-utils
    /usr/bin/zbarimg:zbar-tools
    /usr/bin/mbsync:isync
    /usr/bin/mutt:mutt
    /usr/bin/script:bsdutils # a terminal for mutt
    /usr/bin/curl:curl
    /usr/bin/xmllint:libxml2-utils
    /usr/bin/openssl:openssl
    /usr/bin/chromium:chromium
    /usr/bin/node:nodejs
    /usr/bin/npm:npm
)

missing=()
for need in "${needs[@]}"; do
    file=${need%%:*} package=${need##*:}
    # Debian has merged /bin and /usr/bin, and some packages may move between the two.
    [ -e "$file" ] || [ -e "/usr$file" ] || [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
done
browser=$(dirname "$0")/browser.sh
[ ${#missing[@]} -gt 0 ] || exec "$browser" >/dev/null

fail() { echo "need.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "the tests need the Debian packages ${missing[*]}; run this as root"
command -v apt-get >/dev/null || fail "this is not Debian; install ${missing[*]} by hand"
command -v debconf-set-selections >/dev/null || fail "debconf is missing"

echo "installing Debian packages for the tests: ${missing[*]}"
work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d
cleanup() {
    rm -f "$cluster/doppelboden.conf"
    if [ -e "$work/policy" ]; then mv "$work/policy" "$policy"; else rm -f "$policy"; fi
    rm -rf "$work"
}
if [ -e "$policy" ]; then cp -p "$policy" "$work/policy"; fi
trap cleanup EXIT
trap 'exit 1' INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"
mkdir -p "$cluster"
echo 'create_main_cluster = false' >"$cluster/doppelboden.conf"

# Postfix would ask what kind of mail server this machine is to be: none.
echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections

export DEBIAN_FRONTEND=noninteractive
quietly() { "$@" >>"$work/log" 2>&1 </dev/null || { tail -n 40 "$work/log" >&2; fail "this failed: $*"; }; }
quietly apt-get -q update
quietly apt-get -q install -y --no-install-recommends "${missing[@]}"
"$browser" >/dev/null
