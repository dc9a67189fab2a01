#!/usr/bin/env bash
# A client in bash with curl: an account, a server, a message, and what arrives live, also after the connection was lost.
#
#     ./client.sh http://127.0.0.1:8000
set -euo pipefail
export LC_ALL=C
base=${1:-http://127.0.0.1:8000}
host=${base#http://}
token=

# One request: method, path, body. What went wrong is said by the server in words.
call() {
    curl -sS --fail-with-body -X "$1" "$base/api/v1$2" -H 'Content-Type: application/json' \
        ${token:+-H "Authorization: Bearer $token"} -d "$3"
}

# A text, or a number, of a name that stands in it once.
field() { sed -E "s/.*\"$1\":\"?([^\",}]*).*/\1/"; }

# A WebSocket by hand: bash opens the connection (descriptor 3), what is sent has a mask of zeroes.
open_gateway() {
    exec 3<>"/dev/tcp/${host%:*}/${host##*:}"
    printf '%s\r\n' "GET /gateway HTTP/1.1" "Host: $host" "Upgrade: websocket" "Connection: Upgrade" \
        "Sec-WebSocket-Version: 13" "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==" "" >&3
    while IFS= read -r line <&3 && [ "$line" != $'\r' ]; do :; done
    until_frame '"op":10'
}

byte() { printf "\\x$(printf %02x "$1")"; }

send() {
    local len=${#1}
    {
        byte 129
        if [ "$len" -lt 126 ]; then byte $((128 + len)); else byte 254; byte $((len >> 8)); byte $((len & 255)); fi
        printf '\0\0\0\0%s' "$1"
    } >&3
}

# So many bytes as one number.
number() { head -c "$1" <&3 | od -An -v -tu1 | tr -s ' \n' ' ' | awk '{ for (i = 1; i <= NF; i++) n = n * 256 + $i; printf "%d", n }'; }

# The next text that contains that; it stands in $frame then.
until_frame() {
    local kind len
    while :; do
        kind=$(number 1) len=$(number 1)
        [ -n "$kind" ] || { echo "the connection has ended" >&2; exit 1; }
        case $len in 126) len=$(number 2) ;; 127) len=$(number 8) ;; esac
        frame=$(head -c "$len" <&3)
        if [ "$kind" = 129 ] && [[ $frame == *"$1"* ]]; then return; fi
        if [ "$kind" = 136 ] || [[ $frame == '{"op":9,'* ]]; then echo "the session is gone" >&2; exit 1; fi
    done
}

# 1. An account; the token goes with each request.
name=sh_$RANDOM$RANDOM
account="{\"username\":\"$name\",\"email\":\"$name@example.org\",\"password\":\"Lovelace-1815!\"}"
token=$(call POST /auth/register "$account" | field token)
echo "registered $name"

# 2. A server comes with a channel.
channel=$(call POST /servers '{"name":"A server"}' | field default_channel_id)
echo "channel $channel"

# 3. The gateway: HELLO, IDENTIFY, READY.
open_gateway
send "{\"op\":2,\"d\":{\"token\":\"$token\"}}"
until_frame '"t":"READY"'
session=$(field session_id <<<"$frame")
echo "ready"

# 4. A heartbeat now and then (HELLO says how often); its answer is op 11.
send '{"op":1,"d":null}'
until_frame '"op":11'

# 5. A message, as it arrives.
call POST "/channels/$channel/messages" '{"content":"hello"}' >/dev/null
until_frame '"t":"MESSAGE_CREATE"'
echo "live: $(field content <<<"$frame")"

# 6. The connection is lost, something happens, and RESUME brings it.
sequence=$(field s <<<"$frame")
exec 3>&-
call POST "/channels/$channel/messages" '{"content":"while you were away"}' >/dev/null
open_gateway
send "{\"op\":6,\"d\":{\"token\":\"$token\",\"session_id\":\"$session\",\"seq\":$sequence}}"
until_frame '"t":"RESUMED"'
until_frame '"t":"MESSAGE_CREATE"'
echo "missed: $(field content <<<"$frame")"
exec 3>&-
