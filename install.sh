#!/bin/sh
# Installs the newest release of logitree for this machine:
#
#     curl -fsSL https://raw.githubusercontent.com/logitree/logitree/main/install.sh | sh
#
# It fetches an archive and its checksum, compares them, and puts the program into ~/.local/bin. It changes nothing else, and needs no
# rights of an administrator. These variables change what it does:
#
#     LOGITREE_VERSION      a version, such as 0.1.0, in place of the newest
#     LOGITREE_INSTALL_DIR  another folder for the program
#     LOGITREE_RELEASES     another place of the releases: an address, or file:// and a folder
set -eu

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

# The archive for this machine. With musl, or a C library older than the one the other archives were built with, a static program runs.
target() {
    case "$(uname -m)" in
        x86_64 | amd64) cpu=x86_64 ;;
        arm64 | aarch64) cpu=aarch64 ;;
        *) fail "there is no program for the processor $(uname -m); with Rust installed: cargo install --locked logitree-cli" ;;
    esac
    case "$(uname -s)" in
        Darwin)
            # A shell that Rosetta translates sees an Intel processor.
            if [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || echo 0)" = 1 ]; then cpu=aarch64; fi
            echo "$cpu-apple-darwin"
            ;;
        Linux)
            glibc="$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2\.\([0-9]*\).*/\1/p')"
            if [ "${glibc:-0}" -ge 35 ]; then echo "$cpu-unknown-linux-gnu"; else echo "$cpu-unknown-linux-musl"; fi
            ;;
        *) fail "there is no archive for $(uname -s) here; for Windows, take the .zip file of the release" ;;
    esac
}

fetch() { # address file
    if command -v curl >/dev/null 2>&1; then
        curl --fail --silent --show-error --location --proto-redir =https "$1" --output "$2" || fail "cannot fetch $1"
    elif command -v wget >/dev/null 2>&1; then
        wget --quiet "$1" --output-document="$2" || fail "cannot fetch $1"
    else
        fail "neither curl nor wget is here"
    fi
}

sha256() { # file
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        fail "neither sha256sum nor shasum is here, so what was fetched cannot be checked"
    fi
}

# All of it is read before any of it runs: a download that breaks off does nothing.
main() {
    releases="${LOGITREE_RELEASES:-https://github.com/logitree/logitree/releases}"
    folder="${LOGITREE_INSTALL_DIR:-${HOME:?there is no home folder: set LOGITREE_INSTALL_DIR}/.local/bin}"
    if [ -n "${LOGITREE_VERSION:-}" ]; then from="$releases/download/v${LOGITREE_VERSION#v}"; else from="$releases/latest/download"; fi
    name="logitree-$(target)" || exit 1

    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT TERM
    echo "Fetching $from/$name.tar.gz"
    fetch "$from/$name.tar.gz" "$scratch/archive"
    fetch "$from/$name.tar.gz.sha256" "$scratch/checksum"
    expected="$(cut -d ' ' -f 1 "$scratch/checksum")"
    found="$(sha256 "$scratch/archive")" || exit 1
    [ "$found" = "$expected" ] || fail "the archive's checksum is $found, and should be $expected: nothing was installed"

    tar -xzf "$scratch/archive" -C "$scratch"
    mkdir -p "$folder"
    # The old program may be running: it is replaced, not written over.
    cp "$scratch/$name/logitree" "$folder/.logitree.new"
    chmod 755 "$folder/.logitree.new"
    mv -f "$folder/.logitree.new" "$folder/logitree"
    echo "Installed $("$folder/logitree" --version) as $folder/logitree"
    case ":$PATH:" in
        *":$folder:"*) ;;
        *) echo "$folder is not in PATH yet. For this shell: export PATH=\"$folder:\$PATH\"" ;;
    esac
    echo "Try: logitree tree \"The capital of India is\"     (fetches a model of 253 MB the first time)"
}
main
