# SPDX-License-Identifier: Apache-2.0
"""How each server under test is set up: functions that get a harness.Test, start it, and return the Site to drive."""
import os
import pathlib
import re
import shutil
import ssl
import subprocess

import cases
import harness
import sites
import tls_socket

NEWLINE = "\n"


# --- TLS: the same set-ups, spoken to through it

def with_tls(set_up, version=None):
    """@set_up with a certificate in test.tls; what it starts speaks TLS and nothing else."""
    def tls(test):
        test.tls = make_certificate(test)
        site = set_up(test)
        site.address = tls_socket.Address(site.address, version)
        return site
    return tls


def make_certificate(test):
    """Paths of a certificate, its key, and of both in one file."""
    cert, key, both = (test.dir / name for name in ("cert.pem", "key.pem", "both.pem"))
    subprocess.run([harness.which("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key,
                    "-out", cert], check=True, capture_output=True)
    key.chmod(0o644)
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return cert, key, both


# --- nginx

def nginx_configuration(test, servers, http=""):
    """The packaged nginx.conf; only what must be private to this run is replaced."""
    packaged = pathlib.Path("/etc/nginx/nginx.conf").read_text()
    for name in ("logs", "temp", "sites", "conf.d"):
        (test.dir / name).mkdir()
    if os.getuid() == 0:
        shutil.chown(test.dir / "temp", "www-data")
    temp = "".join(f"{kind}_temp_path {test.dir}/temp/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = re.sub(r"pid [^;]*;", f"pid {test.dir}/nginx.pid;\ndaemon off;", packaged)
    text = re.sub(r"/etc/nginx/(sites-enabled|conf\.d)/", lambda m: f"{test.dir}/{'sites' if m[1] == 'sites-enabled' else 'conf.d'}/", text)
    text = re.sub(r"worker_processes [^;]*;", "worker_processes 2;", text)
    text = re.sub(r"access_log [^;]*;", f"log_format plain '$request_method $status $bytes_sent $uri';\n access_log {test.dir}/logs/access.log plain;", text)
    text = re.sub(r"error_log [^;]*;", f"error_log {test.dir}/logs/error.log;", text)
    if test.tls:
        temp += f"ssl_certificate {test.tls[0]};\nssl_certificate_key {test.tls[1]};\n"
    test.write("conf.d/private.conf", temp + http)
    test.write("sites/site", servers)
    return test.write("nginx.conf", text)


def start_nginx(test, servers, http="", **options):
    nginx = harness.which("nginx")
    conf = nginx_configuration(test, servers, http)
    child = test.start([nginx, "-c", conf], **options)
    test.access_log = (test.dir / "logs" / "access.log", {"statuses": ("499", "000")})
    return child


def nginx_static(test):
    root = sites.documents(test)
    address = (test.ip, test.port())
    child = start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]}{' ssl' if test.tls else ''} backlog=512;
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


def nginx_proxy(test):
    upstream = sites.python_upstream(test)
    address = (test.ip, test.port())
    child = start_nginx(test, f"""
upstream app {{ server {upstream[0]}:{upstream[1]}; keepalive 8; }}
server {{
    listen {address[0]}:{address[1]}{' ssl' if test.tls else ''} backlog=512;
    keepalive_requests 100000;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location = /until-close {{ proxy_pass http://app; proxy_buffering off; }}
    location = /sse {{ proxy_pass http://app; proxy_buffering off; }}
}}""")
    test.wait_for_port(address, child)
    return sites.app(address, ["sse", "until_close"], max_head=7000)


def start_php_fpm(test, service, children, settings):
    """A pool of so many children, with more @settings of it. Returns the process and the path of its socket."""
    php_fpm = harness.which("php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm8.1", "php-fpm")
    socket = test.dir / "fpm.sock"
    user = "user = www-data\ngroup = www-data\nlisten.owner = www-data\nlisten.group = www-data\n" if os.getuid() == 0 else ""
    conf = test.write("fpm.conf", f"""[global]
error_log = {test.dir}/fpm.log
daemonize = no
[www]
{user}listen = {socket}
pm = static
pm.max_children = {children}
{settings}
""")
    child = test.start([php_fpm, "-n", "-y", conf, "-F"], service=service)
    harness.until(socket.exists, "php-fpm listens")
    return child, socket


def nginx_fastcgi(test):
    address = (test.ip, test.port())
    # a copy: its workers are another user, who may have no way into the source tree
    app = test.write("app.php", (sites.APPS / "app.php").read_text(encoding="utf-8"))
    fpm, socket = start_php_fpm(test, test.service + "_fpm", 4, "listen.backlog = 512")
    child = start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]}{' ssl' if test.tls else ''} backlog=512;
    keepalive_requests 100000;
    location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {app};
        fastcgi_pass unix:{socket};
    }}
}}""")
    test.wait_for_port(address, child)
    assert fpm.poll() is None, test.log_of(fpm)
    return sites.app(address, max_head=7000)


# --- apache

MODULES = "/usr/lib/apache2/modules"


def apache(mpm):
    def set_up(test):
        program = harness.which("apache2")
        if not os.path.exists(f"{MODULES}/mod_mpm_{mpm}.so"):
            raise harness.Missing(f"mod_mpm_{mpm} is not installed")
        root = sites.documents(test)
        address = (test.ip, test.port())
        user = "User www-data\nGroup www-data\n" if os.getuid() == 0 else ""
        load = "".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so\n" for m in
                       (f"mpm_{mpm}", "authz_core", "dir", "mime", "alias", "rewrite", "headers", "reqtimeout") + (("ssl",) if test.tls else ()))
        if test.tls:
            load += f"SSLEngine on\nSSLSessionCache none\nSSLCertificateFile {test.tls[0]}\nSSLCertificateKeyFile {test.tls[1]}\n"
        conf = test.write("apache.conf", f"""
ServerRoot {test.dir}
ServerName localhost
PidFile {test.dir}/apache.pid
DefaultRuntimeDir {test.dir}
Mutex file:{test.dir} default
{load}{user}TypesConfig /etc/mime.types
ErrorLog {test.dir}/error.log
LogFormat "%m %>s - %U" plain
CustomLog {test.dir}/access.log plain
KeepAliveTimeout 60
MaxKeepAliveRequests 0
LimitRequestFieldSize 32768
LimitRequestLine 16384
ListenBacklog 512
StartServers 2
{'MaxRequestWorkers 150' if mpm == 'event' else 'MaxRequestWorkers 100'}
Listen {address[0]}:{address[1]}
DocumentRoot {root}
<Directory {root}>
    Require all granted
    DirectoryIndex index.html
</Directory>
RewriteEngine on
RewriteRule ^/nocontent$ - [R=204,L]
RewriteRule ^/error$ - [R=500,L]
""")
        child = test.start([program, "-f", conf, "-DFOREGROUND"])
        # A request that is bad or cut is logged without its method; 408 is logged for connections that never said a word.
        test.access_log = (test.dir / "access.log", {"statuses": ("408",), "methods_of": ("400",)})
        test.wait_for_port(address, child)
        paths = dict(sites.FILE_PATHS, nocontent=[("/nocontent", "/nocontent")], error=[("/error", "/error")], post=[("/hello", "/hello")])
        return cases.Site(address, paths)
    return set_up


# --- lighttpd

def lighttpd(workers, tls="openssl"):
    def set_up(test):
        program = harness.which("lighttpd")
        if test.tls and not os.path.exists(f"/usr/lib/lighttpd/mod_{tls}.so"):
            raise harness.Missing(f"lighttpd-mod-{tls} is not installed")
        root = sites.documents(test)
        address = (test.ip, test.port())
        conf = test.write("lighttpd.conf", f"""
server.document-root = "{root}"
server.bind = "{address[0]}"
server.port = {address[1]}
server.errorlog = "{test.dir}/error.log"
server.upload-dirs = ( "{test.dir}" )
server.max-worker = {workers}
server.max-keep-alive-requests = 100000
server.max-keep-alive-idle = 60
server.max-request-field-size = 65535
server.listen-backlog = 512
server.modules = ( "mod_access", "mod_rewrite", "mod_redirect" )
index-file.names = ( "index.html" )
{f'server.modules += ( "mod_{tls}" ){NEWLINE}ssl.engine = "enable"{NEWLINE}ssl.pemfile = "{test.tls[0]}"{NEWLINE}ssl.privkey = "{test.tls[1]}"' if test.tls else ''}
mimetype.assign = ( ".html" => "text/html", ".css" => "text/css", "" => "application/octet-stream" )
""")
        child = test.start([program, "-D", "-f", conf])
        test.wait_for_port(address, child)
        # leading_crlf: refuses an empty line that arrives alone; whether it has the request by then is a matter of timing
        return cases.Site(address, dict(sites.FILE_PATHS, post=[("/hello", "/hello")]), skip=["leading_crlf"])
    return set_up


# --- haproxy

def proxy_head(rng):
    if rng.random() < 0.5:
        return b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\n"
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 21, 179, 0, 80])


def haproxy(accept_proxy, drop):
    def set_up(test):
        program = harness.which("haproxy")
        upstream = sites.python_upstream(test)
        address = (test.ip, test.port())
        (test.dir / "empty").mkdir()
        dropped = f"user haproxy\n    group haproxy\n    chroot {test.dir}/empty\n" if drop and os.getuid() == 0 else ""
        conf = test.write("haproxy.cfg", f"""
global
    nbthread 2
    maxconn 4000
    {dropped}
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option http-keep-alive
    errorfile 500 /dev/null
frontend front
    bind {address[0]}:{address[1]}{' accept-proxy' if accept_proxy else ''}{f' ssl crt {test.tls[2]}' if test.tls else ''} backlog 512
    http-request return status 204 if {{ path /nocontent }}
    default_backend app
backend app
    http-reuse safe
    server one {upstream[0]}:{upstream[1]}
""".replace("    errorfile 500 /dev/null\n", ""))
        child = test.start([program, "-W", "-db", "-f", conf] if drop else [program, "-db", "-f", conf])
        test.wait_for_port(address, child)
        return sites.app(address, ["sse", "until_close"], max_head=12000, proxy_head=proxy_head if accept_proxy else None)
    return set_up


# --- python

def http_server(version):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([sites.PYTHON, sites.APPS / "http_server.py", *address, version, *(test.tls or ())[:2]])
        test.wait_for_port(address, child)
        # leading_crlf: takes an empty line for the end of a keep-alive connection
        # expect_continue: an HTTP/1.0 server sends no interim answer
        return sites.app(address, ["sse", "early", "until_close"], answers_http09=True,
                         skip=["leading_crlf"] + (["expect_continue"] if version == "HTTP/1.0" else []),
                         pipeline="all" if version == "HTTP/1.1" else "some")
    return set_up


def gunicorn(*options):
    def set_up(test):
        address = (test.ip, test.port())
        options_tls = ["--certfile", test.tls[0], "--keyfile", test.tls[1]] if test.tls else []
        child = test.start([harness.which("gunicorn"), *options_tls, "-b", "%s:%d" % address, "--backlog", "512", "--log-level", "critical",
                            "--keep-alive", "60", *options, "wsgi_app:application"], cwd=sites.APPS, env={"PYTHONDONTWRITEBYTECODE": "1"})
        test.wait_for_port(address, child)
        # bare_lf: waits for the CR LF that does not come
        # leading_crlf: refuses the empty line; whether it has read the request by then is a matter of timing
        return sites.app(address, ["sse", "early"], pipeline="some", skip=["bare_lf", "leading_crlf"])
    return set_up


def uvicorn(*options):
    def set_up(test):
        address = (test.ip, test.port())
        options_tls = ["--ssl-certfile", test.tls[0], "--ssl-keyfile", test.tls[1]] if test.tls else []
        child = test.start([harness.which("uvicorn"), *options_tls, "--host", address[0], "--port", address[1], "--log-level", "critical",
                            "--backlog", "512", "--timeout-keep-alive", "60", *options, "asgi_app:application"], cwd=sites.APPS,
                           env={"PYTHONDONTWRITEBYTECODE": "1"})
        test.wait_for_port(address, child)
        # leading_crlf: h11 refuses it, see gunicorn
        return sites.app(address, ["sse", "early"], skip=["leading_crlf"])
    return set_up


# --- node

def node(workers):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([harness.which("node", "nodejs"), sites.APPS / "app.js", *address, workers, *(test.tls or ())[:2]])
        test.wait_for_port(address, child)
        return sites.app(address, ["sse", "early"])
    return set_up


# --- php

def php_built_in(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("php"), "-n", "-S", "%s:%d" % address, sites.APPS / "app.php"])
    test.wait_for_port(address, child)
    # It closes each connection after one answer and forgets what was pipelined.
    # expect_continue: sends no interim answer
    return sites.app(address, ["until_close"], pipeline="some", skip=["expect_continue"])


# --- java

def jdk(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("java"), "-Xmx256m", "-XX:TieredStopAtLevel=1", sites.APPS / "App.java", *address])
    test.wait_for_port(address, child)
    # bare_lf: waits for the CR LF that does not come
    return sites.app(address, skip=["bare_lf"])


# --- ruby

def puma(*options):
    def set_up(test):
        address = (test.ip, test.port())
        bind = f"ssl://%s:%d?cert={test.tls[0]}&key={test.tls[1]}" if test.tls else "tcp://%s:%d"
        child = test.start([harness.which("puma"), "-b", bind % address, "-t", "4:4", "-q", *options, sites.APPS / "config.ru"])
        test.wait_for_port(address, child)
        # leading_crlf: refuses the empty line; whether it has read the request by then is a matter of timing
        # obs_fold: when the fold comes alone, closes 20 seconds later without a word
        return sites.app(address, pipeline="some", skip=["leading_crlf", "obs_fold"])
    return set_up


def webrick(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("ruby"), sites.APPS / "webrick.rb", *address])
    test.wait_for_port(address, child)
    # leading_crlf: as above; expect_continue: no interim answer unless the servlet asks for it
    return sites.app(address, without=["chunked"], skip=["leading_crlf", "expect_continue"])


# --- mini_httpd: a process for each connection

def mini_httpd(test):
    program = harness.which("mini_httpd", "mini-httpd")
    root = sites.documents(test)
    address = (test.ip, test.port())
    child = test.start([program, "-D", "-h", address[0], "-p", str(address[1]), "-d", root, "-u", "www-data" if os.getuid() == 0 else "nobody",
                        *(["-S", "-E", test.tls[2]] if test.tls else [])])
    test.wait_for_port(address, child)
    # answers what has no method by "(null) 400 Bad Request"
    return cases.Site(address, sites.FILE_PATHS, pipeline="some", skip=["leading_crlf", "garbage", "tls_hello", "end_in_head", "silent"])


# --- by name, in groups that are one test program each
NGINX = {"nginx_static": nginx_static, "nginx_proxy": nginx_proxy, "nginx_fastcgi": nginx_fastcgi}
APACHE = {"apache_event": apache("event"), "apache_prefork": apache("prefork")}
LIGHTTPD = {"lighttpd": lighttpd(0), "lighttpd_workers": lighttpd(2)}
HAPROXY = {"haproxy": haproxy(False, False), "haproxy_proxy_head": haproxy(True, True)}
PYTHON = {
    "http_server": http_server("HTTP/1.1"),
    "http_server_10": http_server("HTTP/1.0"),
    "gunicorn_sync": gunicorn("--workers", "2"),
    "gunicorn_gthread": gunicorn("--workers", "2", "--threads", "4"),
    "uvicorn": uvicorn("--loop", "asyncio", "--http", "h11"),
    "uvicorn_uvloop": uvicorn("--loop", "uvloop", "--http", "httptools"),
}
NODE = {"node": node(0), "node_cluster": node(2)}
PHP = {"php_built_in": php_built_in}
JAVA = {"jdk": jdk}
RUBY = {"puma": puma(), "puma_cluster": puma("-w", "2"), "webrick": webrick}
TLS = {
    "nginx_tls": with_tls(nginx_static),
    "nginx_tls12": with_tls(nginx_static, ssl.TLSVersion.TLSv1_2),
    "nginx_proxy_tls": with_tls(nginx_proxy),
    "apache_event_tls": with_tls(apache("event")),
    "apache_prefork_tls": with_tls(apache("prefork")),
    "lighttpd_tls": with_tls(lighttpd(0)),
    "lighttpd_gnutls": with_tls(lighttpd(0, "gnutls")),
    "lighttpd_mbedtls": with_tls(lighttpd(0, "mbedtls")),
    "lighttpd_nss": with_tls(lighttpd(0, "nss")),
    "haproxy_tls": with_tls(haproxy(False, False)),
}
TLS_APPS = {
    "http_server_tls": with_tls(http_server("HTTP/1.1")),
    "gunicorn_sync_tls": with_tls(gunicorn("--workers", "2")),
    "gunicorn_gthread_tls": with_tls(gunicorn("--workers", "2", "--threads", "4")),
    "uvicorn_tls": with_tls(uvicorn("--loop", "asyncio", "--http", "h11")),
    "puma_tls": with_tls(puma()),
    "mini_httpd_tls": with_tls(mini_httpd),
}
NODE_TLS = {"node_tls": with_tls(node(0)), "node_cluster_tls": with_tls(node(2))}
SET_UPS = {**NGINX, **APACHE, **LIGHTTPD, **HAPROXY, **PYTHON, **NODE, **PHP, **JAVA, **RUBY, **TLS, **TLS_APPS, **NODE_TLS}
