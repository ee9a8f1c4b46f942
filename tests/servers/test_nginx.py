#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nginx as packaged: static files with sendfile and dropped privileges, proxy_pass with kept upstream connections, FastCGI."""
import os
import pathlib
import re

import cases
import harness
import sites


def configuration(test, servers, http=""):
    """The packaged nginx.conf; only what must be private to this run is replaced."""
    packaged = pathlib.Path("/etc/nginx/nginx.conf").read_text()
    for name in ("logs", "temp", "sites", "conf.d"):
        (test.dir / name).mkdir()
    if os.getuid() == 0:
        import shutil
        shutil.chown(test.dir / "temp", "www-data")
    temp = "".join(f"{kind}_temp_path {test.dir}/temp/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = re.sub(r"pid [^;]*;", f"pid {test.dir}/nginx.pid;\ndaemon off;", packaged)
    text = re.sub(r"/etc/nginx/(sites-enabled|conf\.d)/", lambda m: f"{test.dir}/{'sites' if m[1] == 'sites-enabled' else 'conf.d'}/", text)
    text = re.sub(r"worker_processes [^;]*;", "worker_processes 2;", text)
    text = re.sub(r"access_log [^;]*;", f"log_format plain '$request_method $status $bytes_sent $uri';\n access_log {test.dir}/logs/access.log plain;", text)
    text = re.sub(r"error_log [^;]*;", f"error_log {test.dir}/logs/error.log;", text)
    test.write("conf.d/private.conf", temp + http)
    test.write("sites/site", servers)
    return test.write("nginx.conf", text)


def start(test, servers, http="", **options):
    nginx = harness.which("nginx")
    conf = configuration(test, servers, http)
    child = test.start([nginx, "-c", conf], **options)
    test.access_log = (test.dir / "logs" / "access.log", {"statuses": ("499", "000")})
    return child


def static(test):
    root = sites.documents(test)
    address = (test.ip, test.port())
    child = start(test, f"""
server {{
    listen {address[0]}:{address[1]} backlog=512;
    root {root};
    large_client_header_buffers 4 32k;
    keepalive_requests 100000;
    location /items/ {{ default_type text/plain; }}
    location = /notmodified {{ if_modified_since before; }}
    location = /echo {{ return 200 "read\\n"; }}
    location = /early {{ client_max_body_size 1000; return 200 "never\\n"; }}
    location = /nocontent {{ return 204; }}
    location = /error {{ return 500; }}
    location = /page.css {{ gzip on; gzip_types text/css; gzip_min_length 0; }}
}}""", by_command=True)
    test.wait_for_port(address, child)
    paths = dict(sites.FILE_PATHS, post=[("/echo", "/echo")], nocontent=[("/nocontent", "/nocontent")], error=[("/error", "/error")],
                 early=[("/early", "/early")])
    return cases.Site(address, paths)


def proxy(test):
    upstream = sites.python_upstream(test)
    address = (test.ip, test.port())
    child = start(test, f"""
upstream app {{ server {upstream[0]}:{upstream[1]}; keepalive 8; }}
server {{
    listen {address[0]}:{address[1]} backlog=512;
    keepalive_requests 100000;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location = /until-close {{ proxy_pass http://app; proxy_buffering off; }}
    location = /sse {{ proxy_pass http://app; proxy_buffering off; }}
}}""")
    test.wait_for_port(address, child)
    return sites.app(address, ["sse", "until_close"], max_head=7000)


def fastcgi(test):
    php_fpm = harness.which("php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm8.1", "php-fpm")
    address = (test.ip, test.port())
    socket = test.dir / "fpm.sock"
    user = "user = www-data\ngroup = www-data\nlisten.owner = www-data\nlisten.group = www-data\n" if os.getuid() == 0 else ""
    conf = test.write("fpm.conf", f"""[global]
error_log = {test.dir}/fpm.log
daemonize = no
[www]
{user}listen = {socket}
listen.backlog = 512
pm = static
pm.max_children = 4
""")
    fpm = test.start([php_fpm, "-n", "-y", conf, "-F"], service=test.service + "_fpm")
    harness.until(socket.exists, "php-fpm listens")
    child = start(test, f"""
server {{
    listen {address[0]}:{address[1]} backlog=512;
    keepalive_requests 100000;
    location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {sites.APPS}/app.php;
        fastcgi_pass unix:{socket};
    }}
}}""")
    test.wait_for_port(address, child)
    assert fpm.poll() is None, test.log_of(fpm)
    return sites.app(address, max_head=7000)


harness.main({"nginx_static": static, "nginx_proxy": proxy, "nginx_fastcgi": fastcgi})
