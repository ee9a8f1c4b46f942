#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole way on this machine: nginx with its packaged configuration and a Python server, both started unchanged under
# Tickbird, real requests, the exporter, and a real Prometheus that evaluates the usual rules. Private ports, folders and
# region directory; nothing is left behind. Works as root (nginx then drops its privileges) and as an ordinary user.
set -euo pipefail
cd "$(dirname "$0")/../.."
B=$(realpath "${B:-build}")
PATH=$PATH:/usr/sbin
python=/usr/bin/python3
here=$(realpath examples/demo)

for program in nginx prometheus curl "$python"; do
    command -v "$program" >/dev/null || { echo "demo: $program is not installed: run packaging/setup.sh demo" >&2; exit 1; }
done

tmp=$(mktemp -d /tmp/tickbird-demo-XXXXXX)
regions=$(mktemp -d /dev/shm/tickbird-demo-XXXXXX)
chmod 755 "$tmp"
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

free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
wait_for() { # URL
    for _ in $(seq 500); do
        curl -s -o /dev/null "$1" && return 0
        sleep 0.02
    done
    echo "demo: nothing answers at $1; its log:" >&2
    cat "$tmp"/*.log >&2
    return 1
}
title() { printf '\n\033[1m%s\033[0m\n' "$1"; }
nginx_port=$(free_port) python_port=$(free_port) exporter_port=$(free_port) prometheus_port=$(free_port)

# --- nginx: the packaged file; only its folders and its port become private
mkdir "$tmp/www" "$tmp/www/img" "$tmp/temp" "$tmp/conf.d" "$tmp/sites"
if [ "$(id -u)" = 0 ]; then chown www-data "$tmp/temp"; fi
printf '<h1>shop</h1>\n' >"$tmp/www/index.html"
head -c 1024 /dev/zero | tr '\0' x >"$tmp/www/page.html"
head -c 300000 /dev/zero >"$tmp/www/img/logo.png"
sed -e "s#pid [^;]*;#pid $tmp/nginx.pid;#" -e "s#/etc/nginx/sites-enabled/#$tmp/sites/#" -e "s#/etc/nginx/conf.d/#$tmp/conf.d/#" \
    -e "s#worker_processes [^;]*;#worker_processes 2;#" -e "s#access_log [^;]*;#access_log $tmp/access.log;#" \
    -e "s#error_log [^;]*;#error_log $tmp/error.log;#" /etc/nginx/nginx.conf >"$tmp/nginx.conf"
for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $tmp/temp/$kind;"; done >"$tmp/conf.d/temp.conf"
cat >"$tmp/sites/shop" <<EOF
server {
    listen 127.0.0.1:$nginx_port;
    root $tmp/www;
    location /cart { return 503; }
    location /checkout { return 201; }
}
EOF
title "1. Two unchanged servers, started under Tickbird"
echo "\$ tickbird run --service shop -- nginx -g 'daemon off;'"
echo "\$ tickbird run --service api -- python3 app.py"
"$B/tickbird" run --service shop --dir "$regions" -- "$(command -v nginx)" -c "$tmp/nginx.conf" -g 'daemon off;' >"$tmp/nginx.log" 2>&1 &
pids+=($!)
"$B/tickbird" run --service api --dir "$regions" -- "$python" "$here/app.py" 127.0.0.1 "$python_port" >"$tmp/python.log" 2>&1 &
pids+=($!)
"$B/tickbird-exporter" --region.dir "$regions" --storage.path "$tmp/ledger" --web.listen-address "127.0.0.1:$exporter_port" \
    >"$tmp/exporter.log" 2>&1 &
pids+=($!)
wait_for "http://127.0.0.1:$nginx_port/"
wait_for "http://127.0.0.1:$python_port/health"
wait_for "http://127.0.0.1:$exporter_port/metrics"

# --- Prometheus
cp "$here/rules.yml" "$tmp/rules.yml"
cat >"$tmp/prometheus.yml" <<EOF
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [$tmp/rules.yml]
scrape_configs:
- job_name: web
  static_configs: [{targets: ["127.0.0.1:$exporter_port"]}]
EOF
prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/tsdb" --web.listen-address="127.0.0.1:$prometheus_port" \
    --log.level=warn >"$tmp/prometheus.log" 2>&1 &
pids+=($!)
wait_for "http://127.0.0.1:$prometheus_port/-/ready"

title "2. Traffic, and what was counted"
"$python" "$here/traffic.py" "$nginx_port" "$python_port" "$exporter_port" "$prometheus_port"

title "3. tickbird status"
"$B/tickbird" status --dir "$regions" || true
title "4. As Prometheus reads it (http://127.0.0.1:$exporter_port/metrics)"
curl -s "http://127.0.0.1:$exporter_port/metrics" | grep -E '^http_requests_total.*(shop|api)' | grep -v ' 0$' | sort | head -24
if [ "$(id -u)" = 0 ]; then
    echo
    echo "nginx's processes run as: $(ps -o user=,args= --ppid "${pids[0]}" | awk '{ print $1 }' | sort | uniq -c | xargs)"
fi
title "Everything is stopped and removed."
