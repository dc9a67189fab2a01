#!/usr/bin/env bash
# Files from the page cache beside nginx: one core serves, the other asks, rounds alternate within one run.
#
#     benches/peers/files.sh target/release/plexichat [ROUNDS] [SECONDS]
#
# Needs nginx, wrk, curl and python3. Everything is on loopback and stopped at the end. Prints requests and megabytes per
# second of each round, then the ratios of the medians.
set -euo pipefail
server=$(realpath "$1"); rounds=${2:-5}; seconds=${3:-4}
nginx=$(command -v nginx || echo /usr/sbin/nginx)
work=$(mktemp -d); pids=()
stop() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$work"; }
trap stop EXIT

# Noise does not get smaller: a picture of 50 x 50 has 10 KB, one of 512 x 512 has 1 MB.
python3 - "$work" <<'PY'
import os, struct, sys, zlib
def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
for name, side in (("10k", 50), ("1m", 512)):
    rows = b"".join(b"\0" + os.urandom(4 * side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    open(f"{sys.argv[1]}/{name}.png", "wb").write(png)
PY

# serve NAME PORT OPTION…: a server with an avatar of each size; its paths are left in $work/NAME.*
serve() {
    local name=$1 port=$2 api=http://127.0.0.1:$2/api/v1; shift 2
    taskset -c 0 "$server" --data "$work/$name" --set server.port="$port" --set metrics.port=0 --set runtime.cores=1 \
        --set rate_limiting.enabled=false "$@" >/dev/null 2>"$work/$name.log" &
    pids+=($!)
    for _ in $(seq 100); do curl -fs "$api/version" >/dev/null && break; sleep 0.1; done
    for size in 10k 1m; do
        local json="{\"username\":\"u$size\",\"email\":\"u$size@example.org\",\"password\":\"Lovelace-1815!\"}"
        local token; token=$(curl -fs "$api/auth/register" -H 'Content-Type: application/json' -d "$json" |
            sed 's/.*"token":"\([^"]*\)".*/\1/')
        curl -fs "$api/avatars/users/@me" -H "Authorization: Bearer $token" -F "file=@$work/$size.png" >/dev/null
        local path; path=$(curl -fs "$api/users/@me" -H "Authorization: Bearer $token" |
            sed 's/.*"avatar_url":"\([^"]*\)".*/\1/')
        echo "http://127.0.0.1:$port$path" > "$work/$name.$size"
        mkdir -p "$work/files"; curl -fs "http://127.0.0.1:$port$path" > "$work/files/$size"
    done
}
serve plexichat 18100 --set media.encrypt_at_rest=false
serve encrypted 18101 --set media.encrypt_at_rest=true

cat > "$work/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $work/nginx.pid; error_log $work/nginx.log; user root;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
    open_file_cache max=1000; default_type image/png;
    client_body_temp_path $work/a; proxy_temp_path $work/b; fastcgi_temp_path $work/c;
    uwsgi_temp_path $work/d; scgi_temp_path $work/e;
    server { listen 127.0.0.1:18102 reuseport; root $work/files; }
}
CONF
chmod 755 "$work" "$work/files"
taskset -c 0 "$nginx" -c "$work/nginx.conf" & pids+=($!)
for size in 10k 1m; do echo "http://127.0.0.1:18102/$size" > "$work/nginx.$size"; done
sleep 0.5

for size in 10k 1m; do
    connections=64; [ $size = 1m ] && connections=16
    for round in $(seq "$rounds"); do
        for name in nginx plexichat encrypted; do
            taskset -c 1 wrk -t1 -c$connections -d"${seconds}s" "$(cat "$work/$name.$size")" > "$work/out"
            grep -q "Non-2xx" "$work/out" && { echo "$name refuses" >&2; cat "$work/out" >&2; exit 1; }
            rate=$(sed -n 's/^Requests\/sec: *//p' "$work/out")
            echo "$rate" >> "$work/$name.$size.rates"
            printf '%-4s round %s  %-10s %9.0f requests/s %9.1f MB/s\n' $size "$round" $name "$rate" \
                "$(awk -v r="$rate" -v l="$(stat -c %s "$work/files/$size")" 'BEGIN { print r * l / 1e6 }')"
        done
    done
    median() { sort -n "$work/$1.$size.rates" | sed -n "$(((rounds + 1) / 2))p"; }
    for name in plexichat encrypted; do
        awk -v a="$(median $name)" -v b="$(median nginx)" -v n=$name -v s=$size \
            'BEGIN { printf "%-4s %s: %.2f x nginx (%.0f and %.0f requests/s, medians)\n", s, n, a / b, a, b }'
    done
done
