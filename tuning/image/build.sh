#!/bin/sh
# Builds the image from a program and a folder with Debian, where no registry can be reached:
#
#   debootstrap --variant=minbase --include=ca-certificates bookworm /var/tmp/bookworm
#   tuning/image/build.sh target/release/plexichat /var/tmp/bookworm
#
# It goes by the Containerfile: the folder takes the place of its first two images. Needs buildah, as root.
set -eu
program=$(realpath "$1")
debian=$(realpath "$2")
cd "$(dirname "$0")/../.."

base=$(buildah from scratch)
buildah add --quiet "$base" "$debian" / >/dev/null
buildah commit --quiet "$base" localhost/plexichat-debian >/dev/null
buildah rm "$base" >/dev/null

# What the first image would have made.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/source/target/release"
cp "$program" "$context/source/target/release/plexichat"
tuning/package/licences.sh >"$context/source/target/licences"
built=$(buildah from scratch)
buildah add --quiet "$built" "$context" / >/dev/null
buildah commit --quiet "$built" localhost/plexichat-build >/dev/null
buildah rm "$built" >/dev/null

# From "FROM base" on, the Containerfile word for word.
recipe=$context/Containerfile
{
    echo "FROM localhost/plexichat-build AS build"
    echo "FROM localhost/plexichat-debian AS base"
    sed -n '/^FROM base$/,$p' tuning/image/Containerfile
} >"$recipe"
buildah build --quiet --format docker --isolation chroot --tag plexichat --file "$recipe" .
