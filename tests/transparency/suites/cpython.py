# SPDX-License-Identifier: Apache-2.0
"""CPython's regression tests that do I/O, of the Debian package of them."""
import os

from suitelib import results
from suitelib.recipe import Recipe

TESTS = """test_asynchat test_asyncore 
 test_docxmlrpc test_eintr test_epoll test_faulthandler test_fcntl test_file test_fileio test_fork1 test_ftplib test_httplib
 test_httpservers test_io test_logging test_mmap test_nntplib test_os test_pathlib test_pipes test_poll
 test_popen test_poplib test_posix test_pty test_resource test_sched test_select test_selectors test_shutil
 test_signal test_smtpd test_smtplib test_socket test_socketserver test_ssl test_stat test_subprocess test_sys test_syslog
 test_telnetlib test_tempfile test_thread test_threadedtempfile test_threading test_threading_local test_threadsignals
 test_time test_timeout test_urllib test_urllib2 test_urllib2_localnet test_urllib_response test_uuid test_wait3 test_wait4
 test_wsgiref test_xmlrpc""".split()
QUICK = "test_fork1 test_httplib test_httpservers test_os test_posix test_select test_signal test_socketserver test_urllib2_localnet"

RECIPE = Recipe(
    title="CPython: sockets, processes, threads, signals, I/O, HTTP",
    packages="libpython3.11-testsuite python3.11 openssl netbase tzdata",
    sources="",
    run=f"""
cd ~
tests="{' '.join(TESTS)}"
[ -z "$QUICK" ] || tests="{QUICK}"
python3.11 -m test -j3 --timeout 300 -u network,subprocess --junit-xml /results/junit.xml $tests
exit 0
""",
    parse=lambda d: results.junit(os.path.join(d, "junit.xml")),
    seconds=1500,
    serves=True,
)
