#!/bin/sh
# Runs a program as a container engine would: in a root of its own that can't be written, without capabilities.
#   root.sh ROOT UID GID PROGRAM...   ROOT/mounts has a line for each mount: SOURCE TARGET MODE
# It is called in a mount namespace of its own, so that nothing has to be taken down.
set -eu
root=$1 uid=$2 gid=$3
shift 3
new=$root/new
mkdir -p "$new"
mount -t tmpfs -o mode=755 tmpfs "$new"
for name in bin lib lib32 lib64 sbin; do
    if [ -L "/$name" ]; then
        cp -P "/$name" "$new/$name"
    elif [ -d "/$name" ]; then
        mkdir "$new/$name"
        mount --rbind "/$name" "$new/$name"
    fi
done
for name in dev proc usr; do
    mkdir "$new/$name"
    mount --rbind "/$name" "$new/$name"
done
while read -r source target mode; do
    if [ -d "$source" ]; then
        mkdir -p "$new$target"
    else
        mkdir -p "$(dirname "$new$target")"
        : >"$new$target"
    fi
    mount --rbind "$source" "$new$target"
    if [ "$mode" = ro ]; then
        mount -o remount,bind,ro "$new$target"
    fi
done <"$root/mounts"
mount -o remount,ro "$new"
exec chroot "$new" setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all "$@"
