#!/bin/sh
# Tries the package on a fresh Debian, which is started with its own systemd in a container:
#
#   debootstrap --variant=minbase --include=systemd-sysv,dbus,procps bookworm /var/tmp/bookworm
#   tuning/package/try.sh /var/tmp/bookworm "$(tuning/package/build.sh)"
#
# Installs, starts, backs up, reloads, kills, upgrades, removes and purges it; each step says what it has seen. The folder
# stays as it is. Needs root, systemd-nspawn (systemd-container) and dpkg-deb.
set -eu
debian=$(realpath "$1")
package=$(realpath "$2")
here=$(realpath "$(dirname "$0")")

work=$(mktemp -d /var/tmp/plexichat-try.XXXXXX)
trap 'rm -rf "$work"' EXIT
root=$work/root
cp -a "$debian" "$root"
mkdir -p "$root/try"
cp "$package" "$root/try/first.deb"
cp "$here/try-inside.sh" "$root/try/inside.sh"

# The next version: the same files under a higher number.
dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/next" "$root/try/next.deb" >/dev/null

cat >"$root/etc/systemd/system/try.service" <<'UNIT'
[Unit]
Description=Tries the package
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /try/inside.sh >/try/said 2>&1; echo "exit $?" >>/try/said; journalctl -u plexichat --no-pager >/try/journal 2>&1; systemctl --no-block poweroff'
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../try.service "$root/etc/systemd/system/multi-user.target.wants/try.service"

# io_uring is in no list of what containers may by default.
timeout 300 systemd-nspawn --quiet --register=no --keep-unit --directory "$root" --boot --console=pipe \
    --private-network --system-call-filter="io_uring_setup io_uring_enter io_uring_register" \
    </dev/null >"$work/console" 2>&1 || true

if [ "$(tail -n 1 "$root/try/said" 2>/dev/null)" = "exit 0" ]; then
    grep '^ok' "$root/try/said"
else
    tail -n 20 "$work/console" "$root/try/journal" || true
    cat "$root/try/said" || true
    exit 1
fi
