#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter's page in a real Chromium: with and without JavaScript it shows the numbers of /metrics; names that look
like HTML are only shown; nothing violates the page's policy; it can be used with the keyboard, in the dark and narrow.

TB_PICTURES=FOLDER keeps pictures of it. Skipped when no Chromium is installed (Debian: chromium).
"""
import collections
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "servers")]
sys.dont_write_bytecode = True

import browser  # noqa: E402
import client  # noqa: E402
import harness  # noqa: E402
import sites  # noqa: E402

HOSTILE = ["\"><img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "<!--#title-->'&lt;b&gt;"]
PICTURES = os.environ.get("TB_PICTURES")

# The rows of a table as lists of texts; of every cell what a reader sees.
ROWS = "[...document.querySelectorAll('#%s tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"


def number(text):
    return int(text.replace(",", ""))


def ask(address, paths):
    conn = client.Conn(address)
    for path in paths:
        conn.send(client.request("GET", path, "localhost"))
        conn.response("GET")
    conn.close()


class Page:
    def __init__(self, test, chromium):
        self.test, self.chromium = test, chromium
        self.url = "http://%s:%d/" % test.exporter

    def get(self, path=""):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode(), answer.headers

    def open(self, query="", **how):
        self.chromium.open(self.url + query, **how)
        if how.get("scripts", True):
            self.chromium.until("document.documentElement.dataset.updated", "the script has brought the page up to date")

    def routes(self):
        """(service, method, route) -> (aborted, 5xx, requests), as shown."""
        rows = self.chromium.value(ROWS % "route-rows")
        return {(r[0], *r[1].split(None, 1)): tuple(number(n) for n in r[9:12]) for r in rows if len(r) == 12}

    def services(self):
        return {r[0]: (number(r[7]), number(r[9]), number(r[10]), number(r[11])) for r in self.chromium.value(ROWS % "services") if len(r) == 13}

    def picture(self, name):
        if PICTURES:
            self.chromium.picture(os.path.join(PICTURES, name + ".png"))


def routes_of(scrape):
    """The same from /metrics."""
    sums = collections.defaultdict(lambda: [0, 0, 0])
    for labels, value in scrape.values("http_requests_total"):
        key = (labels["service"], labels["method"], labels["route"])
        sums[key][2] += int(value)
        sums[key][1] += int(value) if labels["status"][0] == "5" else 0
    for labels, value in scrape.values("http_requests_aborted_total"):
        sums[(labels["service"], labels["method"], labels["route"])][0] += int(value)
    return {k: tuple(v) for k, v in sums.items()}


def services_of(scrape):
    return {labels["service"]: (int(value), int(scrape.total("http_requests_aborted_total", service=labels["service"])),
                                int(scrape.total("http_requests_total", service=labels["service"])),
                                int(scrape.total("tickbird_processes", service=labels["service"])))
            for labels, value in scrape.values("http_requests_in_flight")}


def check_numbers(page, name):
    """Compares until nothing was in flight between the two: a request may end in that moment."""
    wrong = []

    def is_equal():
        scrape = page.test.scrape()
        shown, served = (page.routes(), page.services()), (routes_of(scrape), services_of(scrape))
        wrong[:] = [f"{k}: shown {shown[i].get(k)}, served {served[i].get(k)}" for i in (0, 1)
                    for k in sorted(set(shown[i]) | set(served[i])) if shown[i].get(k) != served[i].get(k)]
        return not wrong and len(shown[0]) > 5 and len(shown[1]) == 1 + len(HOSTILE)
    try:
        harness.until(is_equal, name, 60)
    except AssertionError:
        wrong.append("never equal")
    harness.report(not wrong, name, "\n".join(wrong))


def check_reasons(page):
    """A server that was started without the object appears in the list, as in the metrics."""
    test, name = page.test, f"unseen{os.getpid()}"
    script = test.write(name + ".py", "import http.server, sys\nhttp.server.HTTPServer((sys.argv[1], int(sys.argv[2])), "
                        "http.server.BaseHTTPRequestHandler).serve_forever()\n")
    address = (test.ip, test.port())
    child = test.start([sites.PYTHON, script, *address], preload=False)
    test.wait_for_port(address, child)
    rows = f"{ROWS % 'unobservable'}.filter(r => r[0].startsWith('{name}') && r[1] === 'not_preloaded')"
    page.chromium.until(rows + ".length === 1", "the list names it")
    served = [l for l, _ in test.scrape().values("tickbird_unobservable", reason="not_preloaded") if l["service"].startswith(name)]
    harness.report(len(served) == 1, "what_is_not_observable_is_listed", str(served) if len(served) != 1 else "")
    test.stop(child)


def check_structure(page, name):
    """Only what page.html brings: no element came in by a name."""
    counts = page.chromium.value("({images: document.images.length, scripts: document.scripts.length, bold: document.querySelectorAll('main > b').length,"
                                 " handlers: document.querySelectorAll('[onerror],[onclick],[onload]').length})")
    is_right = counts == {"images": 1, "scripts": 1, "bold": 0, "handlers": 0}
    shown = page.chromium.value("document.getElementById('services').innerText")
    harness.report(is_right and all(h in shown for h in HOSTILE), name, str(counts) if not is_right else "")


def check_live(page, address):
    """Without anybody touching it, the page follows."""
    before = page.services()["shop"][2]
    ask(address, ["/hello"] * 25)
    page.chromium.until("[...document.querySelectorAll('#services tr')].some(r => r.cells[0].innerText === 'shop' && "
                        f"r.cells[10].innerText.replace(',', '') === '{before + 25}')", "the page follows")
    harness.report(True, "the_page_follows_by_itself")


def check_dependencies(page, failing, fine):
    """What a program calls is on the page, with and without scripts: who answered last with a 5xx is down."""
    test, name = page.test, "caller"
    script = test.write(name + ".py", "import sys, urllib.request\n"
                        "for url in sys.argv[1:]:\n    try:\n        urllib.request.urlopen(url, timeout=60).read()\n    except OSError:\n        pass\n")
    urls = ["http://%s:%d%s" % (*failing, path) for path in ("/hello", "/error")] + ["http://%s:%d/hello" % fine]
    child = test.start([sites.PYTHON, script, *urls], service=name)
    child.wait(timeout=120)
    rows = f"{ROWS % 'dependencies'}.filter(r => r[0] === '{name}').map(r => [r[1], ...r.slice(5)])"
    expected = sorted([["%s:%d" % failing, "1", "2", "down"], ["%s:%d" % fine, "0", "1", "up"]])
    page.chromium.until(f"JSON.stringify({rows}.sort()) === {json.dumps(json.dumps(expected, separators=(',', ':')))}", "what is called is shown")
    page.open(scripts=False)
    shown = sorted(page.chromium.value(rows))
    harness.report(shown == expected, "what_services_call_is_shown", f"{shown} {expected}" if shown != expected else "")


def check_switched_off(page):
    """`tickbird off` shows at once, with what it means."""
    subprocess.run([harness.BUILD / "tickbird", "off", "--dir", page.test.region_dir, "shop"], check=True, capture_output=True, timeout=60)
    page.chromium.until(f"{ROWS % 'services'}.some(r => r[0] === 'shop' && r[12] === 'switched off') && "
                        "document.getElementById('notices').innerText.includes('Services switched off: 1.')", "it says that a service is off")
    page.open(scripts=False)
    text = page.chromium.value("document.getElementById('notices').innerText + document.getElementById('services').innerText")
    is_said = text.count("switched off") == 2 and "Services switched off: 1." in text
    harness.report(is_said, "what_is_switched_off_is_said", text if not is_said else "")


def check_keyboard(page):
    """The first stop is the skip link; a heading sorts; what has the focus keeps it when the numbers change."""
    chromium = page.chromium
    chromium.press("Tab", 9)
    first = chromium.value("document.activeElement.className")
    chromium.value("document.querySelector('#route-rows a').focus()")
    focused = chromium.value("document.activeElement.innerText")
    updated = chromium.value("document.documentElement.dataset.updated")
    chromium.until(f"document.documentElement.dataset.updated !== '{updated}'", "the next update")
    kept = chromium.value("document.activeElement.innerText")
    chromium.value("[...document.querySelectorAll('#routes-head a')].find(a => a.innerText === 'p95').focus()")
    chromium.press("Enter", 13, "\r")
    chromium.until("document.querySelector('#routes-head [aria-sort]').innerText.startsWith('p95')", "sorted by p95")
    chromium.until("document.querySelector('select[name=sort]').value === 'p95' && location.search === '?sort=p95'", "the form follows")
    harness.report(first == "skip" and focused and kept == focused, "it_can_be_used_with_the_keyboard", f"{first!r} {focused!r} {kept!r}"
                   if first != "skip" or kept != focused else "")


def check_search(page):
    chromium = page.chromium
    chromium.value("document.querySelector('input[type=search]').focus()")
    chromium.type("HELLO")
    chromium.until("location.search.includes('search=HELLO') && [...document.querySelectorAll('#route-rows tr')].length > 0 && "
                   "[...document.querySelectorAll('#route-rows tr')].every(r => r.innerText.includes('/hello'))", "the search narrows")
    still = chromium.value("document.activeElement.name")
    chromium.value("history.back()")
    harness.report(still == "search", "a_search_narrows_while_one_types", still if still != "search" else "")


def check_accessible(page):
    """What a screen reader is told: nothing that can be used is without a name, tables have headings, one h1."""
    nodes = page.chromium.call("Accessibility.getFullAXTree")["nodes"]
    named = {"link", "button", "searchbox", "combobox", "region", "image", "columnheader", "rowheader"}
    nameless = [n["role"]["value"] for n in nodes if not n.get("ignored") and n.get("role", {}).get("value") in named
                and not n.get("name", {}).get("value")]
    roles = collections.Counter(n.get("role", {}).get("value") for n in nodes if not n.get("ignored"))
    is_right = not nameless and roles["columnheader"] > 20 and roles["rowheader"] > 5 and roles["main"] == 1 and roles["banner"] == 1
    harness.report(is_right, "everything_has_a_name", f"{nameless} {dict(roles)}" if not is_right else "")


def check_looks(page):
    """Dark and light differ; on a narrow screen nothing but the tables is wider than it."""
    light = page.chromium.value("getComputedStyle(document.body).backgroundColor")
    page.picture("light")
    page.open(dark=True)
    dark = page.chromium.value("getComputedStyle(document.body).backgroundColor")
    page.picture("dark")
    page.open(width=360)
    fits = page.chromium.value("document.documentElement.scrollWidth <= innerWidth")
    page.picture("narrow")
    harness.report(light != dark and fits, "it_is_fine_in_the_dark_and_narrow", f"{light} {dark} {fits}" if light == dark or not fits else "")


def check_without_scripts(page):
    page.open(scripts=False)
    page.picture("without-scripts")
    is_hidden = page.chromium.value("document.getElementById('pause').hidden")
    harness.report(is_hidden, "without_scripts_no_button_is_shown_that_needs_them")
    page.open("?search=hello&sort=name", scripts=False)
    rows = page.routes()
    harness.report(bool(rows) and all("hello" in k[2] for k in rows), "the_form_works_without_scripts", str(rows) if not rows else "")


def check_without_scripts_numbers(page):
    page.open(scripts=False)
    check_numbers(page, "without_scripts_the_numbers_are_those_of_the_metrics")


def check_links(page):
    body, headers = page.get()
    wrong = []
    for address in page.chromium.value("[...document.querySelectorAll('footer a')].map(a => a.getAttribute('href'))"):
        try:
            page.get(address)
        except OSError as error:
            wrong.append(f"{address}: {error}")
    if "http://" in body.replace("http://www.w3.org/", "") or "https://" in body:
        wrong.append("an address of somebody else")
    if "default-src 'none'" not in headers["Content-Security-Policy"] or "unsafe" in headers["Content-Security-Policy"]:
        wrong.append(headers["Content-Security-Policy"])
    harness.report(not wrong, "every_link_leads_somewhere_and_nowhere_else", "\n".join(wrong))


def check_api(page):
    """The route objects of the API and a service's name that must be encoded."""
    answer = json.loads(page.get("api/v1/routes?limit=1000&service=" + urllib.parse.quote(HOSTILE[0]))[0])
    shown = {(r["service"], r["method"], r["route"]): (r["total"]["aborted"], r["total"]["server_errors"], r["total"]["requests"])
             for r in answer["routes"]}
    served = {k: v for k, v in routes_of(page.test.scrape()).items() if k[0] == HOSTILE[0]}
    harness.report(shown == served and bool(served), "the_api_gives_the_numbers_of_the_metrics", f"{shown} {served}" if shown != served else "")


def check_empty(test, chromium):
    """No service: the page says what to do."""
    page = Page(test, chromium)
    page.open()
    text = chromium.value("document.getElementById('empty').innerText")
    is_shown = chromium.value("document.getElementById('empty').checkVisibility()")
    page.picture("empty")
    harness.report(is_shown and "tickbird run" in text and not page.services(), "without_services_it_says_what_to_do", text if not is_shown else "")


def run(test, chromium):
    test.start_exporter()
    check_empty(test, chromium)
    addresses = [sites.python_upstream(test, preload=True, service=name) for name in ("shop", *HOSTILE)]
    for address in addresses:
        ask(address, ["/hello"] * 9 + ["/items/7", "/items/8", "/error", "/slow", "/missing", "/<script>alert(3)</script>", "/'\"><b>x"])
    page = Page(test, chromium)
    page.open("?limit=1000")
    check_numbers(page, "the_numbers_are_those_of_the_metrics")
    check_structure(page, "names_that_look_like_html_are_only_shown")
    check_reasons(page)
    check_live(page, addresses[0])
    check_accessible(page)
    check_links(page)
    check_api(page)
    page.open()
    check_keyboard(page)
    check_search(page)
    page.open("?service=" + urllib.parse.quote(HOSTILE[1]) + "&method=GET&route=/hello")
    check_structure(page, "nor_in_an_address")
    page.open()
    check_looks(page)
    check_without_scripts(page)
    check_without_scripts_numbers(page)
    page.open()
    check_dependencies(page, *addresses[:2])
    page.open()
    check_switched_off(page)
    harness.report(not chromium.complaints, "the_browser_has_nothing_to_complain_of", "\n".join(chromium.complaints))


def main():
    program = browser.find()
    if not program:
        print("chromium is not installed")
        sys.exit(77)
    test, chromium = harness.Test("page"), None
    try:
        chromium = browser.Browser(program)
        run(test, chromium)
    finally:
        if chromium:
            chromium.close()
        test.close()
    sys.exit(harness.status)


main()
