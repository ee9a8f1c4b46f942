# SPDX-License-Identifier: Apache-2.0
"""Ruby's own tests of sockets, HTTP, processes, signals and threads, run by Debian's ruby of the same source."""
import os

from suitelib import results
from suitelib.recipe import Recipe

TESTS = """test/socket test/net test/ruby/test_io.rb test/ruby/test_process.rb test/ruby/test_thread.rb test/ruby/test_thread_queue.rb
 test/ruby/test_signal.rb test/ruby/test_file.rb test/ruby/test_file_exhaustive.rb test/ruby/test_io_nonblock.rb test/ruby/test_io_buffer.rb
 test/ruby/test_system.rb test/ruby/test_sleep.rb test/ruby/test_fiber.rb test/ruby/test_dir.rb test/io test/open-uri
 test/fiber test/drb test/openssl/test_ssl.rb test/openssl/test_ssl_session.rb test/test_open3.rb test/test_pty.rb test/test_tempfile.rb test/test_timeout.rb
 test/test_pstore.rb test/logger test/resolv test/monitor test/etc""".replace("\n", "")
QUICK = "test/socket test/net/http"

RECIPE = Recipe(
    title="Ruby: sockets, net/http, processes, signals, threads, fibers, drb",
    packages="ruby ruby-dev ruby-test-unit openssl netbase",
    sources="ruby3.1",
    prepare="""cd ruby3.1-*/
ln -s "$PWD" /suite/src
""",
    run=f"""cd /suite/src
tests="{TESTS}"
[ -z "$QUICK" ] || tests="{QUICK}"
export RUBY=/usr/bin/ruby
for t in $tests; do
    [ -e $t ] && timeout -k 5 400 ruby -W0 test/runner.rb --ruby=/usr/bin/ruby -v --color=never $t 2>&1
done </dev/null >/results/log
exit 0
""",
    parse=lambda d: results.lines(os.path.join(d, "log"),
                                  r"^\[ *\d+/\d+\] (?P<name>\S+#.*?) = [0-9.]+ s ?=? ?(?P<outcome>[.FES]|)",
                                  {".": "pass", "": "pass", "F": "fail", "E": "fail", "S": "skip"}),
    seconds=1500,
    serves=True,
)
