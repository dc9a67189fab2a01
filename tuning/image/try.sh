#!/bin/sh
# Tries the image that `tuning/image/build.sh` has made, with a runtime of containers and nothing around it:
#
#   tuning/image/try.sh
#
# Read-only root, the image's user, no capabilities, the filter of tuning/seccomp.json; the image's own check says that it
# is well. Needs root, buildah, runc (or RUNTIME=crun) and python3. (podman does the same, where it may set limits and has systemd for checks.)
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d /var/tmp/plexichat-image.XXXXXX)
container=$(buildah from plexichat)
stop() {
    "$runtime" kill "$name" KILL 2>/dev/null || true
    "$runtime" delete --force "$name" 2>/dev/null || true
    buildah umount "$container" >/dev/null
    buildah rm "$container" >/dev/null
    rm -rf "$work"
}
name=plexichat-try-$$
runtime=${RUNTIME:-runc}
trap stop EXIT
root=$(buildah mount "$container")
user=$(buildah inspect --format '{{.OCIv1.Config.User}}' plexichat)
check=$(buildah inspect --format '{{range slice .Docker.Config.Healthcheck.Test 1}}{{.}} {{end}}' plexichat)

fail() {
    echo "FAIL $*"
    cat "$work/log"
    exit 1
}

mkdir "$work/data"
chown "$user" "$work/data"
chmod 700 "$work/data"
(cd "$work" && "$runtime" spec)
python3 - "$work/config.json" tuning/seccomp.json "$root" "$user" "$work/data" <<'PYTHON'
import json, subprocess, sys
path, profile, root, user, data = sys.argv[1:]
spec = json.load(open(path))
image = subprocess.run(["buildah", "inspect", "--type", "image", "plexichat"], capture_output=True, check=True).stdout
image = json.loads(image)["OCIv1"]["config"]
uid, gid = map(int, user.split(":"))
process = spec["process"]
process.update(terminal=False, user={"uid": uid, "gid": gid}, args=image["Entrypoint"], env=image["Env"],
               cwd="/", capabilities={}, noNewPrivileges=True, rlimits=[])
spec["root"] = {"path": root, "readonly": True}
spec["mounts"] += [
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec"]},
    {"destination": "/var/lib/plexichat", "type": "bind", "source": data, "options": ["rbind", "rw"]},
]
spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] != "cgroup"]
filter = json.load(open(profile))
filter["architectures"] = [filter.pop("archMap")[0]["architecture"]]
# What the profile says for Docker alone.
filter["syscalls"] = [{key: rule[key] for key in ("names", "action", "args", "errnoRet") if key in rule}
                      for rule in filter["syscalls"]]
spec["linux"]["seccomp"] = filter
json.dump(spec, open(path, "w"))
PYTHON

start() {
    "$runtime" run --detach --bundle "$work" "$name" >>"$work/log" 2>&1 || fail "it does not start"
    for _ in $(seq 100); do
        # shellcheck disable=SC2086
        if "$runtime" exec "$name" $check >"$work/health" 2>&1; then
            return
        fi
        sleep 0.1
    done
    fail "it is not well: $(cat "$work/health")"
}
status() { "$runtime" exec "$name" /usr/bin/grep "^$1:" /proc/1/status | tr -s '\t ' ' ' | cut -d ' ' -f 2; }

: >"$work/log"
start
echo "ok   started; its own check, $check, says: $(cat "$work/health")"
[ "$(status Uid)" = "${user%%:*}" ] || fail "its user is $(status Uid)"
[ "$(status CapEff)" = 0000000000000000 ] || fail "it has capabilities: $(status CapEff)"
[ "$(status Seccomp)" = 2 ] || fail "no filter: $(status Seccomp)"
[ "$(status NoNewPrivs)" = 1 ] || fail "it may get privileges"
echo "ok   user $(status Uid), no capabilities, filtered"
"$runtime" exec "$name" /usr/bin/touch /usr/bin/x 2>/dev/null && fail "its root can be written to"
"$runtime" exec "$name" /usr/bin/touch /var/lib/plexichat/x || fail "its data cannot be written to"
[ -e "$work/data/data.mdb" ] || fail "its database is elsewhere: $(ls "$work/data")"
echo "ok   nothing can be written to but its data"
"$runtime" kill "$name" TERM
for _ in $(seq 100); do
    [ "$("$runtime" state "$name" 2>/dev/null | grep -c '"running"')" != 0 ] || break
    sleep 0.1
done
grep -q 'stopped' "$work/log" || fail "it has not stopped in order"
"$runtime" delete --force "$name"
start
echo "ok   stopped in order, and started again on the same data"
