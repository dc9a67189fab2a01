#!/bin/sh
# Prints which crates are linked into the program and under which licences, then the texts that they come with, each once:
# what has to be passed on with the program. Reads what `cargo fetch` has put on this machine.
set -eu
cd "$(dirname "$0")/../.."

host=$(rustc -vV | sed -n 's/^host: //p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Those of this repository have a path behind their name.
cargo tree --locked --package plexichat --edges normal --prefix none --no-dedupe --format '{p}|{l}' |
    sed 's/ (proc-macro)//' | grep -v '(/' | sort -u >"$work/crates"
cargo metadata --locked --format-version 1 --filter-platform "$host" | grep -o '"manifest_path":"[^"]*"' |
    cut -d '"' -f 4 | sed 's,/Cargo.toml$,,' | sort -u >"$work/sources"

echo "plexichat is made of itself and of these:"
echo
while IFS='|' read -r crate licence; do
    printf '%-44s %s\n' "$crate" "$licence"
    folder=$(grep -m 1 "/${crate% v*}-${crate##* v}\$" "$work/sources" || true)
    [ -n "$folder" ] || continue
    find "$folder" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) |
        while read -r text; do
            sum=$(sha256sum <"$text" | cut -d ' ' -f 1)
            cp "$text" "$work/$sum"
            printf '%s %s: %s\n' "$sum" "$crate" "${text##*/}" >>"$work/texts"
        done
done <"$work/crates"

sort "$work/texts" | while read -r sum whose; do
    # All whose text is the same, then the text.
    printf '%s\n' "$whose" >>"$work/$sum.whose"
done
for text in "$work"/*.whose; do
    printf '\n\n========\n'
    cat "$text"
    printf '\n'
    cat "${text%.whose}"
done
