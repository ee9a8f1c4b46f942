#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""apache2 as packaged, with the event and the prefork module."""
import os

import cases
import harness
import sites

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
                       (f"mpm_{mpm}", "authz_core", "dir", "mime", "alias", "rewrite", "headers", "reqtimeout"))
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


harness.main({"apache_event": apache("event"), "apache_prefork": apache("prefork")})
