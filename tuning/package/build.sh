#!/bin/sh
# Builds the Debian package: tuning/package/build.sh [PROGRAM]
#
# Without PROGRAM the program is built first. Needs cargo-deb (`cargo install cargo-deb`) and what a build needs. The
# package is in target/debian/, its name the last line that is printed.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
made=$target/package

if [ $# -gt 0 ]; then
    program=$1
    mkdir -p "$target/release"
    [ "$(realpath "$program")" = "$(realpath -m "$target/release/plexichat")" ] ||
        cp "$program" "$target/release/plexichat"
else
    cargo build --release --locked --bin plexichat >&2
fi
program=$target/release/plexichat

# What is made of the tables of the program itself.
rm -rf "$made"
mkdir -p "$made"
"$program" man | gzip -9n >"$made/plexichat.1.gz"
"$program" completions bash >"$made/plexichat.bash"
"$program" completions zsh >"$made/_plexichat"
"$program" completions fish >"$made/plexichat.fish"

gzip -9n <tuning/CHANGELOG.md >"$made/changelog.gz"

# The licences of everything that is linked in, with their texts.
tuning/package/licences.sh >"$made/licences"
gzip -9n <"$made/licences" >"$made/licences.gz"

# Where cargo-deb looks for them.
[ "$(realpath "$target")" = "$(realpath -m target)" ] || { mkdir -p target && rm -rf target/package && cp -r "$made" target/package; }

cargo deb --no-build --locked --output "$target/debian/" >&2
find "$target/debian" -name 'plexichat_*.deb' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-
