#!/bin/sh
# What try.sh does inside the system it has started.
set -eu
export DEBIAN_FRONTEND=noninteractive HOME=/try

ok() { echo "ok   $*"; }
fail() {
    echo "FAIL $*"
    exit 1
}
is() { [ "$2" = "$3" ] || fail "$1 is $2, not $3"; }
of_unit() { systemctl show --value -p "$1" plexichat.service; }

# POST PATH BODY: the status.
post() {
    bash -c 'exec 3<>/dev/tcp/127.0.0.1/8000
        printf "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s" \
            "$1" "${#2}" "$2" >&3
        head -n 1 <&3 | cut -d " " -f 2' post "$1" "$2"
}
ada_is_in() {
    echo 'Lovelace-1815!' | plexichat check --url http://127.0.0.1:8000 --user ada >/try/check ||
        fail "ada does not get in: $(cat /try/check)"
    grep -q '^ok      resume ' /try/check || fail "no resume: $(cat /try/check)"
}
# Waits until the service has another process than this one, and serves.
anew() {
    for _ in $(seq 100); do
        if [ "$(of_unit MainPID)" != "$1" ] && [ "$(of_unit SubState)" = running ]; then
            return
        fi
        sleep 0.2
    done
    fail "no new process: $(systemctl status plexichat.service)"
}

dpkg -i /try/first.deb
is "the service" "$(systemctl is-active plexichat)" active
is "its start" "$(systemctl is-enabled plexichat)" enabled
is "the user of the process" "$(stat -c %U "/proc/$(of_unit MainPID)")" plexichat
is "the data folder" "$(stat -c '%U:%G %a' /var/lib/plexichat)" "plexichat:plexichat 700"
is "the configuration" "$(stat -c '%U:%G %a' /etc/plexichat/config.toml)" "root:plexichat 640"
is "the state it tells" "$(of_unit StatusText)" "Serves at 127.0.0.1:8000"
is "locked memory" "$(of_unit LimitMEMLOCK)" infinity
plexichat health >/dev/null || fail "it does not answer"
ok "installed: the service runs as plexichat, and has said that it is ready"

is "registration" "$(post /api/v1/auth/register '{"username":"ada","email":"ada@example.org","password":"Lovelace-1815!"}')" 200
ada_is_in
ok "a client registers, logs in, and resumes"

runuser -u plexichat -- plexichat backup --data /var/lib/plexichat /var/lib/plexichat/backups/first >/dev/null
runuser -u plexichat -- plexichat verify /var/lib/plexichat/backups/first >/dev/null
ok "a backup while it runs, verified"

process=$(of_unit MainPID)
echo '# changed' >>/etc/plexichat/config.toml
systemctl reload plexichat
is "the process after a reload" "$(of_unit MainPID)" "$process"
is "the state after a reload" "$(of_unit SubState)" running
ok "reloaded"

kill -KILL "$process"
anew "$process"
ada_is_in
ok "killed: started again, with its data"

mkdir -p /run/systemd/system/plexichat.service.d
printf '[Service]\nWatchdogSec=3\n' >/run/systemd/system/plexichat.service.d/quick.conf
systemctl daemon-reload
systemctl restart plexichat
process=$(of_unit MainPID)
sleep 5
is "the process of one who gives signs of life" "$(of_unit MainPID)" "$process"
kill -STOP "$process"
anew "$process"
journalctl -u plexichat --no-pager | grep -q 'Watchdog timeout' || fail "the watchdog says nothing"
rm -r /run/systemd/system/plexichat.service.d
systemctl daemon-reload
systemctl restart plexichat
ok "hung: the watchdog has ended it, and it was started again"

# Nine failures in a row are not too many, and a wrong configuration is not tried again.
for _ in 1 2 3 4 5 6 7 8 9; do
    process=$(of_unit MainPID)
    kill -KILL "$process"
    anew "$process"
done
ok "killed nine times in a row: started each time"
echo 'nonsense = 1' >>/etc/plexichat/config.toml
systemctl restart plexichat && fail "it starts with a wrong configuration"
sleep 2
is "the state with a wrong configuration" "$(systemctl is-failed plexichat)" failed
sed -i '/nonsense/d' /etc/plexichat/config.toml
systemctl restart plexichat
ok "a wrong configuration stays down until it is mended"

process=$(of_unit MainPID)
dpkg -i /try/next.deb
anew "$process"
grep -q '^# changed' /etc/plexichat/config.toml || fail "the upgrade has changed the configuration"
ada_is_in
ok "upgraded: started anew, with data and configuration as they were"

systemctl stop plexichat
systemctl start plexichat.socket
systemctl start plexichat
ada_is_in
process=$(of_unit MainPID)
(
    sleep 0.3
    systemctl restart plexichat
) &
for _ in $(seq 20); do
    # Not one is refused, nor sent away: the old process takes nobody any more, the next one finds them waiting.
    plexichat health >/try/health 2>&1 || fail "refused while it is started anew: $(cat /try/health)"
    sleep 0.1
done
wait
[ "$(of_unit MainPID)" != "$process" ] || fail "it was not started anew"
systemctl stop plexichat.socket plexichat
systemctl start plexichat
ok "its socket is handed over; nobody is refused while it is started anew"

dpkg -r plexichat
is "the service after remove" "$(systemctl is-active plexichat || true)" inactive
[ -e /etc/plexichat/config.toml ] || fail "remove has taken the configuration"
dpkg -i /try/next.deb
ada_is_in
ok "removed and installed again: everything is there"

dpkg -P plexichat
[ -e /var/lib/plexichat/data.mdb ] || fail "purge has taken data that were to stay"
[ ! -e /etc/plexichat ] || fail "purge has left the configuration"
dpkg -i /try/next.deb
ada_is_in
ok "purged and installed again: the data were kept, as nobody had said otherwise"

echo plexichat plexichat/purge-data boolean true | debconf-set-selections
dpkg -P plexichat
[ ! -e /var/lib/plexichat ] || fail "purge has left data that were to go"
getent passwd plexichat && fail "purge has left the user"
[ -z "$(find /etc/systemd/system /usr/lib/systemd -name 'plexichat*')" ] || fail "purge has left units"
ok "purged as told: data and user are gone"
