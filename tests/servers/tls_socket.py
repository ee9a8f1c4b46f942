# SPDX-License-Identifier: Apache-2.0
"""A client's TLS connection over a plain socket, with the ends in the caller's hands: each send is a record (or several), a close
says close_notify or does not, and half of the connection can be shut without a word. Standard library only."""
import random
import ssl

RECORD = 262144


class Address(tuple):
    """(host, port) of a server that speaks TLS; client.Conn does so too then. @version: the only one to offer."""
    version = None

    def __new__(cls, address, version=None):
        self = super().__new__(cls, address)
        self.version = version
        return self


def context(version=None, protocols=()):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE  # what is tested is not the certificate
    made.set_ciphers("ALL:@SECLEVEL=0")
    if version:
        made.minimum_version = made.maximum_version = version
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


class TlsSocket:
    """@sock is connected. Raises OSError (ssl.SSLError among them) when there is no handshake."""

    def __init__(self, sock, version=None, protocols=()):
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(version, protocols).wrap_bio(self.incoming, self.outgoing)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
        self._flush()

    def _flush(self):
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)

    def _feed(self):
        data = self.sock.recv(RECORD)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def sendall(self, data):
        for at in range(0, len(data), 16384):
            self.tls.write(data[at:at + 16384])
        self._flush()

    def recv(self, size):
        """b"" at the end, said or not."""
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""
            except ssl.SSLError as error:
                raise ConnectionResetError(str(error)) from error

    def notify(self):
        """close_notify, without waiting for the peer's."""
        try:
            self.tls.unwrap()
        except (ssl.SSLError, OSError):
            pass
        try:
            self._flush()
        except OSError:
            pass

    def shutdown(self, how):
        """Without close_notify: this side could read no more after it."""
        self.sock.shutdown(how)

    def close(self):
        if random.random() < 0.5:
            self.notify()
        self.sock.close()
