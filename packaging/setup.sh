#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian or Ubuntu packages that building, the demo and the checks need: setup.sh build|demo|check|lint|bench|browser|fuzz|packaging|suites|train|lambda...
# Does nothing, fast, when they are there. Without the right to install it prints the command to run and fails.
# Services that a package would start are kept from starting: only their programs are wanted.
set -eu

packages() {
    case $1 in
    build) echo gcc make libc6-dev pkg-config libmicrohttpd-dev libyaml-dev libjansson-dev libisal-dev libzstd-dev zlib1g-dev libgnutls28-dev libcrypt-dev libseccomp-dev libcurl4-gnutls-dev libsnappy-dev libhiredis-dev \
        libcmocka-dev libdw-dev libelf-dev python3 ;;
    demo) echo nginx-light python3 prometheus curl procps ;;
    check) echo nginx-light apache2 lighttpd haproxy php-cli php-fpm nodejs gunicorn uvicorn python3-uvloop \
        puma ruby-webrick default-jdk-headless prometheus prometheus-alertmanager curl binutils musl-tools procps g++ strace \
        python3-prometheus-client python3-statsd openssl python3-httptools golang-go groff \
        mini-httpd lighttpd-mod-openssl lighttpd-mod-gnutls lighttpd-mod-mbedtls lighttpd-mod-nss libssl-dev \
        micro-httpd xinetd ipsvd busybox gawk systemd erlang-inets liburing-dev checkpolicy semodule-utils apparmor \
        varnish squid zstd python3-fastapi \
        curl wget php-curl python3-requests python3-httpx python3-aiohttp libwww-perl git \
        libc6-i386 libjemalloc2 faketime libnss-wrapper bubblewrap python3-yaml python3-botocore python3-jsonschema redis-server python3-protobuf ;;
    browser) echo chromium ;; # 300 MB: without it, what needs a browser is skipped
    lint) echo clang-format clang-tidy shellcheck binutils git ;;
    bench) echo libssl-dev valgrind strace nginx-light python3 nodejs npm ;;
    fuzz) echo clang libclang-rt-14-dev afl++ ;;
    packaging) echo iproute2 dpkg-dev lintian rpm util-linux git python3-venv ;;
    queues) echo rabbitmq-server redis-server python3-venv ;;
    suites) echo debootstrap util-linux iproute2 python3 ;;
    train) echo npm python3-venv ;;
    lambda) echo npm python3-venv cmake xz-utils ;;
    releases) echo debootstrap npm xz-utils util-linux gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ;;
    *) echo "setup.sh: unknown set '$1': expected build, demo, check, lint, bench, browser, fuzz, packaging, suites, train, lambda or releases" >&2; exit 2 ;;
    esac
}

# One of several packages may give a program: any of them will do.
is_installed() {
    case $1 in
    nginx-light) command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] ;;
    npm) command -v npm >/dev/null 2>&1 ;;
    libcurl4-gnutls-dev) pkg-config --exists libcurl 2>/dev/null ;; # with any TLS library
    golang-go) command -v go >/dev/null 2>&1 ;;
    default-jdk-headless) command -v javac >/dev/null 2>&1 ;;
    *) dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed ;;
    esac
}

command -v dpkg-query >/dev/null 2>&1 || {
    echo "setup.sh: not Debian or Ubuntu: install the counterparts of these packages yourself: $(for s in "$@"; do packages "$s"; done | tr '\n' ' ')" >&2
    exit 0
}

wanted=
for set_name in "$@"; do
    list=$(packages "$set_name")
    for p in $list; do
        case " $wanted " in *" $p "*) ;; *) is_installed "$p" || wanted="$wanted $p" ;; esac
    done
done
wanted=${wanted# }
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root=sudo
else
    echo "setup.sh: packages are missing: run this, then try again:" >&2
    echo "    sudo apt-get install --no-install-recommends $wanted" >&2
    exit 1
fi

# While this lasts, no package may start a service (a policy of the administrator's own is left alone).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    trap '$as_root rm -f $policy' EXIT
    trap 'exit 1' INT TERM
fi
echo "setup.sh: installing: $wanted"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # a list of words
$as_root apt-get install -y -q --no-install-recommends $wanted >/dev/null 2>&1 || {
    $as_root apt-get update -q >/dev/null
    $as_root apt-get install -y -q --no-install-recommends $wanted >/dev/null
}
