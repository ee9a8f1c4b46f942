# SPDX-License-Identifier: Apache-2.0
"""Listens on two ports and speaks HTTP on the first; TLS comes to the process only with the first connection of the second, by a
module that is loaded then (so not http.server, which has it). Arguments: address, port in clear, port with TLS, certificate, key."""
import socketserver
import sys
import threading


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


class Late(Server):
    def get_request(self):
        connection, address = self.socket.accept()
        import ssl  # pylint: disable=import-outside-toplevel
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
        return context.wrap_socket(connection, server_side=True), address


assert "ssl" not in sys.modules
clear, late = Server((sys.argv[1], int(sys.argv[2])), Handler), Late((sys.argv[1], int(sys.argv[3])), Handler)
threading.Thread(target=late.serve_forever, daemon=True).start()
clear.serve_forever()
