#!/bin/bash
# A demo city: a node, and a stand-in for its groupware. Everything it writes lies in
# var/demo; a second run goes on with it. Ctrl-C ends both.
# MX_PORT, SUBMISSION_PORT, IMAPS_PORT, WEB_PORT, METRICS_PORT and GROUPWARE_PORT choose other
# ports in the first run; DEMO_DIR and PROGRAM another folder and another program.
set -eu
cd "$(dirname "$0")/.."
program=${PROGRAM:-bin/doppelboden}
city=${DEMO_DIR:-var/demo}
groupware=127.0.0.1:${GROUPWARE_PORT:-2424}
mx=${MX_PORT:-2525}

if [ ! -e "$city/node.toml" ]; then
    mkdir -p "$(dirname "$city")"
    "$program" init "$city" --domain demo.example --groupware "smtp://$groupware" \
        --mx-port "$mx" --submission-port "${SUBMISSION_PORT:-1587}" --imaps-port "${IMAPS_PORT:-1993}" --web-port "${WEB_PORT:-8443}" --metrics-port "${METRICS_PORT:-9125}" >/dev/null
    echo "$groupware" >"$city/groupware.addr"
fi
groupware=$(cat "$city/groupware.addr")
export DOPPELBODEN_NODE="$city/node.toml"

sink='' node=''
end() {
    trap - EXIT INT TERM
    for pid in $node $sink; do kill "$pid" 2>/dev/null || true; done
    for pid in $node $sink; do wait "$pid" 2>/dev/null || true; done
}
trap end EXIT
trap 'exit 0' INT TERM

"$program" sink --listen "$groupware" --dir "$city/groupware" &
sink=$!
"$program" serve --node "$DOPPELBODEN_NODE" &
node=$!

# "status" exits with 3 for as long as the node can't be reached.
for ((i = 0; ; i++)); do
    code=0
    "$program" status >/dev/null 2>&1 || code=$?
    [ "$code" = 3 ] || break
    for pid in $node $sink; do
        kill -0 "$pid" 2>/dev/null || { echo "make run: it ended while it started; see above" >&2; exit 1; }
    done
    [ "$i" -lt 300 ] || { echo "make run: the node does not answer" >&2; exit 1; }
    sleep 0.1
done

"$program" mailbox add postmaster@demo.example >/dev/null
"$program" mailbox add anna@demo.example --name "Anna Amt" >/dev/null
[ -e "$city/anna.pdf" ] || "$program" account codes --person anna@demo.example --pdf "$city/anna.pdf" >/dev/null
"$program" mailbox add feuerwehr@demo.example --name "Feuerwehr" --kind function --priority 9 >/dev/null

cat <<TEXT

The city demo.example is ready. Its groupware is a stand-in at $groupware;
what it took lies in $city/groupware. In another terminal, in this folder:

    export DOPPELBODEN_NODE=$city/node.toml
    $program send --to anna@demo.example    # a first mail, as a stranger would send it
    $program status                         # what the node knows
    $program balance                        # nothing is missing

Let the groupware die, send again, see that mail waits, and let it return:

    kill $sink
    $program sink --listen $groupware --dir $city/groupware

Anna's emergency mailbox is at https://localhost:${WEB_PORT:-8443} (the certificate is the
demo's own); the code on her sheet, $city/anna.pdf, lets her in once.

Ctrl-C stops both.

TEXT
wait "$node"
