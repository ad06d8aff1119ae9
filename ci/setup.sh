#!/usr/bin/env bash
# What building and running natlab needs: a C compiler, Rust, namespaces. Installs a missing compiler; of all else that
# is missing it says what to do, and ends with 6. Changes nothing where nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

unfit() {
    printf 'error: %s\nhelp:  %s\n' "$1" "$2" >&2
    exit 6
}

[ "$(uname -s)" = Linux ] || unfit 'natlab needs Linux' 'a virtual machine or a container on Linux will do'

# Rust links with it, and the ring crate is partly C.
if ! printf '#include <stdint.h>\nint main(void) { return 0; }\n' | cc -x c - -o /dev/null 2>/dev/null; then
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; }; then
        unfit 'there is no working C compiler (cc)' 'install gcc and the headers of the C library'
    fi
    "${root[@]}" apt-get update -q
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends gcc libc6-dev
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
command -v cargo >/dev/null || unfit 'there is no cargo' "install Rust $wanted or later, for example from https://rustup.rs"
found=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    unfit "cargo is $found; natlab needs $wanted or later" 'rustup update'
fi

namespaces=(unshare --pid --fork --mount --net)
if ! { [ "$(id -u)" = 0 ] && "${namespaces[@]}" true 2>/dev/null; } &&
    ! "${namespaces[@]}" --user --map-root-user true 2>/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        help='root of a container needs --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined'
    elif grep -qs 1 /proc/sys/kernel/apparmor_restrict_unprivileged_userns; then
        help='sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04), or do this as root'
    elif grep -qs 0 /proc/sys/kernel/unprivileged_userns_clone; then
        help='sudo sysctl -w kernel.unprivileged_userns_clone=1, or do this as root'
    else
        help='allow unprivileged user namespaces, or do this as root'
    fi
    unfit 'this user may not make namespaces, which every lab is made of' "$help"
fi
