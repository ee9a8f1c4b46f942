#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""lighttpd with static files, by one process and by two workers."""
import cases
import harness
import sites


def lighttpd(workers):
    def set_up(test):
        program = harness.which("lighttpd")
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
mimetype.assign = ( ".html" => "text/html", ".css" => "text/css", "" => "application/octet-stream" )
""")
        child = test.start([program, "-D", "-f", conf])
        test.wait_for_port(address, child)
        # leading_crlf: refuses an empty line that arrives alone; whether it has the request by then is a matter of timing
        return cases.Site(address, dict(sites.FILE_PATHS, post=[("/hello", "/hello")]), skip=["leading_crlf"])
    return set_up


harness.main({"lighttpd": lighttpd(0), "lighttpd_workers": lighttpd(2)})
