#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The shop in both languages and its payment gateway, unchanged under Tickbird; the exporter, and Prometheus where it is installed;
# visitors; and what was counted beside what they did. Private ports, folders and region directory; nothing is left behind.
# Exit status 1: a number differs.
set -euo pipefail
cd "$(dirname "$0")/../.."
B=$(realpath "${B:-build}")
PATH=$PATH:/usr/sbin
python=/usr/bin/python3
here=$(realpath examples/shop)
node=$(command -v node || command -v nodejs || true)
for program in curl "$python"; do
    command -v "$program" >/dev/null || { echo "shop: $program is not installed" >&2; exit 1; }
done

tmp=$(mktemp -d -t tickbird-shop-XXXXXX)
regions=$(mktemp -d /dev/shm/tickbird-shop-XXXXXX)
if [ "$(id -u)" = 0 ]; then chmod 3773 "$regions"; fi
pids=()
# shellcheck disable=SC2317  # called by the trap
clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$tmp" "$regions"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

ip=127.$((1 + ($$ >> 16) % 250)).$((($$ >> 8) & 255)).$((1 + ($$ & 255) % 254)) # of this run alone: nobody takes its ports
free_port() { "$python" -c 'import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])' "$ip"; }
start() { # NAME COMMAND...: in the background, its output in a file
    local name=$1
    shift
    "$@" >"$tmp/$name.log" 2>&1 &
    pids+=($!)
}
wait_for() { # URL
    for _ in $(seq 3000); do
        curl -s -o /dev/null "$1" && return 0
        sleep 0.02
    done
    echo "shop: nothing answers at $1; the logs:" >&2
    cat "$tmp"/*.log >&2
    return 1
}
title() { printf '\n\033[1m%s\033[0m\n' "$1"; }
observed() { # SERVICE COMMAND...
    local service=$1
    shift
    echo "\$ tickbird run --config tickbird.yml --service $service -- ${*##*/}"
    start "$service" "$B/tickbird" run --config "$here/tickbird.yml" --service "$service" --dir "$regions" -- "$@"
}

title "1. The shop, started under Tickbird"
gateway_port=$(free_port) exporter_port=$(free_port) services=()
start gateway "$python" "$here/gateway.py" "$ip" "$gateway_port"
shop() { # SERVICE COMMAND...
    local port
    port=$(free_port)
    observed "$@" "$ip" "$port" "$ip" "$gateway_port"
    services+=("$1=$port")
}
shop shop-python "$python" "$here/shop.py"
if [ -n "$node" ]; then shop shop-node "$node" "$here/shop.js"; else echo "(Node is not installed: only one shop)"; fi
start exporter "$B/tickbird-exporter" --config.file "$here/tickbird.yml" --region.dir "$regions" --storage.path "$tmp/ledger" \
    --web.listen-address "$ip:$exporter_port"
wait_for "http://$ip:$exporter_port/metrics"
for port in "$gateway_port" "${services[@]##*=}"; do
    "$python" -c 'import socket, sys, time
for _ in range(3000):
    try:
        sys.exit(socket.create_connection((sys.argv[1], int(sys.argv[2]))).close())
    except OSError:
        time.sleep(0.02)
sys.exit("shop: nothing listens on port " + sys.argv[2])' "$ip" "$port"
done

prometheus_port=0
if command -v prometheus >/dev/null; then
    prometheus_port=$(free_port)
    cat >"$tmp/prometheus.yml" <<EOF
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [$here/rules.yml]
scrape_configs:
- job_name: tickbird
  static_configs: [{targets: ["$ip:$exporter_port"]}]
EOF
    start prometheus prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/tsdb" \
        --web.listen-address="$ip:$prometheus_port" --log.level=warn
    wait_for "http://$ip:$prometheus_port/-/ready"
fi

title "2. Visitors, and what was counted"
status=0
"$python" "$here/traffic.py" "$ip" "$exporter_port" "$prometheus_port" "${services[@]}" || status=1

title "3. The time of a checkout"
curl -s "http://$ip:$exporter_port/metrics" | grep '^checkout_duration_seconds_bucket.*payment_method="card"' || true

title "4. What would be sent to CloudWatch (a dry run)"
"$B/tickbird-exporter" --config.file "$here/cloudwatch.yml" --region.dir "$regions" --storage.path "$tmp/push" --push.dry-run
title "Everything is stopped and removed."
exit $status
