// SPDX-License-Identifier: Apache-2.0
// Keeps the page up to date from api/v1/overview, every five seconds while it is visible. The page is whole without it:
// what is shown is chosen by the address (?service=…&sort=…), links and the form work by themselves and are only made
// faster here. Names come from outside: they are put in as text and as encoded arguments, never as HTML.
"use strict";

(() => {
    const PERIOD_MS = 5000;
    const DASH = "–";
    const SVG = "http://www.w3.org/2000/svg";
    const byId = (id) => document.getElementById(id);
    let timer = 0, asked = null, isPaused = false;

    // --- figures, as html.c writes them

    const group = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
    const three = (x) => x < 999.5 ? x.toFixed(x < 9.995 ? 2 : x < 99.95 ? 1 : 0) : group(Math.round(x));
    const rate = (x) => x === null ? DASH : x <= 0 ? "0" : x < 0.01 ? "<0.01" : three(x);
    const percent = (x) => x === null ? DASH : x <= 0 ? "0 %" : x < 0.001 ? "<0.1 %" : (x * 100).toFixed(1) + " %";
    function duration(seconds) {
        if (seconds === null)
            return DASH;
        for (const [from, unit, name] of [[999.5, 60, "min"], [0.9995, 1, "s"], [0.9995e-3, 1e-3, "ms"], [0.9995e-6, 1e-6, "µs"]])
            if (seconds >= from)
                return three(seconds / unit) + " " + name;
        return (seconds * 1e9).toFixed(0) + " ns";
    }
    const shade = (ratio) => ratio >= 0.01 ? "bad" : ratio > 0 ? "warn" : "";

    // --- elements

    function make(name, attributes, ...children) {
        const isSvg = ["svg", "path", "rect"].includes(name);
        const element = isSvg ? document.createElementNS(SVG, name) : document.createElement(name);
        for (const [key, value] of Object.entries(attributes || {}))
            if (value !== undefined && value !== "")
                element.setAttribute(key, value);
        element.append(...children);
        return element;
    }
    function setText(element, text) {
        if (element.textContent !== text)
            element.textContent = text;
    }
    function setClass(element, name) {
        if (element.className !== name)
            element.className = name;
    }
    // Replaces what is inside, but for a part that has the focus: that would lose it.
    function setChildren(element, children) {
        if (!element.contains(document.activeElement))
            element.replaceChildren(...children);
    }

    // --- addresses

    const query = () => new URLSearchParams(location.search);
    function link(changes, keep) {
        const q = new URLSearchParams();
        for (const name of keep || ["sort", "limit"])
            if (query().get(name))
                q.set(name, query().get(name));
        for (const [name, value] of Object.entries(changes))
            if (value)
                q.set(name, value);
        return "?" + q;
    }
    const serviceLink = (name) => make("a", {href: link({service: name})}, make("bdi", {}, name));
    const routeLink = (r) => make("a", {href: link({service: r.service, method: r.method, route: r.route, host: r.host})},
        make("span", {class: "method"}, r.method), " ", make("bdi", {}, (r.host || "") + r.route));

    // --- drawings: x is a share of the time shown

    const place = (ends, i) => 1 - ends[i] / ends[0];
    // The last interval has just begun when it is shorter than 2 s: its rate would only be noise.
    const perSecond = (ends, n, i) => ends[i] - ends[i + 1] >= 2 ? n / (ends[i] - ends[i + 1]) : null;
    function spark(ends, values, isArea) {
        const max = Math.max(0, ...values.filter((v) => v !== null));
        let d = isArea ? "M0 20" : "", isDrawing = false;
        values.forEach((value, i) => {
            if (max <= 0 || value === null) {
                isDrawing = false;
                return;
            }
            const y = (19 - 18 * value / max).toFixed(1);
            d += (isDrawing || isArea ? "L" : "M") + (100 * place(ends, i)).toFixed(1) + " " + y;
            d += "L" + (100 * place(ends, i + 1)).toFixed(1) + " " + y;
            isDrawing = true;
        });
        const path = make("path", {class: isArea ? "area" : "line", d: isArea ? d + "L100 20" : d});
        return make("svg", {class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true"}, path);
    }
    function sparkOf(ends, history, what) {
        if (ends.length < 2 || !history)
            return "";
        if (what === "p95")
            return spark(ends, history.p95_seconds.map((p95, i) => perSecond(ends, 1, i) === null ? null : p95), false);
        return spark(ends, history.requests.map((n, i) => perSecond(ends, n, i)), true);
    }
    function heatCells(heat, ends) {
        const rows = heat.bounds_seconds.length - 1, cells = [];
        const rates = heat.counts.map((column, i) => column.map((n) => perSecond(ends, n, i) || 0));
        const some = rates.flat().filter((x) => x > 0), min = Math.min(...some), max = Math.max(...some);
        rates.forEach((column, i) => column.forEach((x, row) => {
            if (!(x > 0))
                return;
            const level = 1 + Math.floor(6 * (max > min ? Math.log(x / min) / Math.log(max / min) : 1));
            cells.push(make("rect", {class: "h" + level, x: (300 * place(ends, i)).toFixed(1), y: rows - 1 - row,
                width: (300 * (place(ends, i + 1) - place(ends, i)) + 0.3).toFixed(1), height: 1}));
        }));
        return cells;
    }
    function heatMap(o) {
        const bounds = o.heatmap.bounds_seconds, ends = o.interval_ends_seconds_ago, rows = bounds.length - 1;
        if (rows < 1)
            return make("p", {class: "quiet"}, "No request was timed in this time.");
        // The edges are evenly spaced on a logarithmic scale; the second one is never 0 or without end.
        const step = rows > 2 ? Math.log2(bounds[2] / bounds[1]) : 0.25;
        const edge = (row) => bounds[1] * 2 ** ((row - 1) * step);
        let d = "", isDrawing = false;
        o.history.p95_seconds.forEach((p95, i) => {
            const row = p95 === null ? null : Math.log2(p95 / edge(0)) / step;
            if (row !== null) {
                const y = (rows - Math.min(Math.max(row, 0), rows)).toFixed(1);
                d += (isDrawing ? "L" : "M") + (300 * place(ends, i)).toFixed(1) + " " + y + "L" + (300 * place(ends, i + 1)).toFixed(1) + " " + y;
            }
            isDrawing = row !== null;
        });
        const svg = make("svg", {viewBox: "0 0 300 " + rows, preserveAspectRatio: "none", role: "img",
            "aria-label": "Requests by time and duration, from " + duration(edge(0)) + " to " + duration(edge(rows))},
            ...heatCells(o.heatmap, ends), make("path", {class: "line", d}));
        const labels = [4, 3, 2, 1, 0].map((i) => make("li", {}, duration(edge(rows * i / 4))));
        return make("div", {class: "map"}, make("ol", {"aria-hidden": "true"}, ...labels), svg,
            make("p", {}, make("span", {}, duration(ends[0]) + " ago"), make("span", {}, "now")));
    }

    // --- tables: a row keeps its place in the document as long as its name is shown, so that a focus is not lost

    function setRows(body, items, key, build, columns, nothing) {
        const before = new Map();
        for (const row of body.rows)
            if (row.tickbirdKey !== undefined)
                before.set(row.tickbirdKey, row);
        const focus = document.activeElement;
        const rows = items.map((item) => {
            const row = before.get(key(item)) || make("tr");
            row.tickbirdKey = key(item);
            const cells = build(item);
            cells.forEach((cell, i) => {
                const old = row.cells[i];
                if (!old)
                    row.append(cell);
                else if (!old.isEqualNode(cell) && !old.contains(focus))
                    old.replaceWith(cell);
            });
            return row;
        });
        if (!rows.length)
            rows.push(make("tr", {}, make("td", {colspan: columns, class: "quiet"}, nothing)));
        if (rows.length !== body.rows.length || rows.some((row, i) => row !== body.rows[i])) {
            body.replaceChildren(...rows);
            if (body.contains(focus))
                focus.focus({preventScroll: true});
        }
    }
    const cell = (text, more) => make("td", {class: ("n " + (more || "")).trim()}, text);
    const count = (n) => cell(group(n), n ? "" : "faint");
    const drawing = (o, history, what) => make("td", {class: "wide"}, sparkOf(o.interval_ends_seconds_ago, history, what));
    function windowCells(w) {
        return [cell(rate(w ? w.requests_per_second : null)),
            cell(percent(w ? w.error_ratio : null), w ? shade(w.error_ratio) : ""),
            cell(duration(w ? w.p50_seconds : null)), cell(duration(w ? w.p95_seconds : null)), cell(duration(w ? w.p99_seconds : null))];
    }
    function state(s) {
        const [text, name] = s.switched_off ? ["switched off", "warn"] : !s.processes ? ["no process", "faint"]
            : s.unobservable.length ? ["recording in part", "warn"] : ["recording", "good"];
        return make("td", {class: name}, text);
    }
    const serviceRow = (o) => (s) => [make("th", {scope: "row", class: "name"}, serviceLink(s.service)), drawing(o, s.history),
        ...windowCells(s.window), count(s.in_flight), cell(duration(s.oldest_in_flight_seconds || null)),
        count(s.total.aborted), count(s.total.requests), count(s.processes), state(s)];
    const routeRow = (o) => (r) => [make("td", {class: "service"}, serviceLink(r.service)), make("th", {scope: "row", class: "name"}, routeLink(r)),
        drawing(o, r.history), ...windowCells(r.window), drawing(o, r.history, "p95"),
        count(r.total.aborted), count(r.total.server_errors), count(r.total.requests)];
    const reasonRow = (u) => [make("th", {scope: "row", class: "name"}, make("bdi", {}, u.service)), make("td", {}, u.reason),
        make("td", {class: "name"}, u.help)];
    function dependencyRow(d) {
        const w = d.window, failed = d.server_errors + d.unanswered;
        const [text, name] = d.up === null ? ["unknown", "faint"] : d.up ? ["up", "good"] : ["down", "bad"];
        return [make("td", {class: "service"}, serviceLink(d.service)), make("th", {scope: "row", class: "name"}, make("bdi", {}, d.target)),
            cell(rate(w ? w.calls_per_second : null)), cell(percent(w ? w.error_ratio : null), w ? shade(w.error_ratio) : ""),
            cell(duration(w ? w.p95_seconds : null)), count(failed), count(d.answered + d.unanswered), make("td", {class: name}, text)];
    }
    const routeKey = (r) => JSON.stringify([r.service, r.method, r.host || "", r.route]);

    // --- the parts of the page

    function showTiles(o) {
        const w = o.window, chosen = query().get("service");
        const inFlight = o.services.filter((s) => !chosen || s.service === chosen).reduce((sum, s) => sum + s.in_flight, 0);
        setText(byId("tile-rate"), rate(w ? w.requests_per_second : null));
        setText(byId("tile-errors"), percent(w ? w.error_ratio : null));
        setClass(byId("tile-errors"), w ? shade(w.error_ratio) : "");
        for (const q of ["p50", "p95", "p99"])
            setText(byId("tile-" + q), duration(w ? w[q + "_seconds"] : null));
        setText(byId("tile-in-flight"), group(inFlight));
        setText(byId("tile-aborted"), rate(w ? w.aborted / o.window_seconds : null));
        byId("tile-spark").replaceChildren(sparkOf(o.interval_ends_seconds_ago, o.history));
        setText(byId("window"), o.window_seconds === null ? "rates are known in some seconds"
            : "mean of the last " + o.window_seconds.toFixed(0) + " seconds");
    }
    function showTop(element, routes, figure, nothing) {
        const items = routes.map((r) => make("li", {},
            make("span", {class: "name"}, routeLink(r), " ", make("small", {}, make("bdi", {}, r.service))), make("b", {}, ...figure(r))));
        setChildren(element, items.length ? items : [make("li", {class: "quiet"}, nothing)]);
    }
    function showNotices(o) {
        const notice = (kind, name, n, ...more) => n ? [make("p", {class: "notice " + kind}, make("strong", {}, name + ": " + group(n) + "."), " ", ...more)] : [];
        const code = (text) => make("code", {}, text);
        const unreadable = Object.values(o.status.unreadable_regions).reduce((a, b) => a + b, 0);
        setChildren(byId("notices"), [
            ...notice("bad", "Region directories switched off", o.status.switched_off_directories,
                "Nothing that records there is counted; ", code("tickbird on"), " ends it."),
            ...notice("warn", "Services switched off", o.services.filter((s) => s.switched_off).length,
                "What they serve is not counted; ", code("tickbird on SERVICE"), " ends it."),
            ...notice("warn", "Regions or directories that cannot be read", unreadable,
                "What they count is missing here; ", code("tickbird status"), " says which and why."),
            ...notice("warn", "Series without a history", o.status.series_without_history,
                "There are too many; their totals are right, their rates are missing."),
        ]);
    }
    function showServiceChoice(o) {
        const select = byId("service"), names = o.services.map((s) => s.service);
        if (document.activeElement === select || select.options.length === names.length + 1)
            return;
        select.replaceChildren(make("option", {value: ""}, "all"), ...names.map((name) => new Option(name, name)));
        select.value = query().get("service") || "";
    }
    function show(o) {
        byId("empty").hidden = o.services.length > 0;
        setText(byId("asof"), new Date(o.time_seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC");
        setClass(byId("asof"), "");
        showTiles(o);
        showNotices(o);
        showServiceChoice(o);
        byId("heat").replaceChildren(heatMap(o));
        showTop(byId("slowest"), o.slowest, (r) => [duration(r.window.p95_seconds)], "No requests in this time.");
        showTop(byId("failing"), o.failing, (r) => [rate(r.window.server_errors_per_second) + "/s ",
            make("small", {}, percent(r.window.error_ratio))], "No server error in this time.");
        setRows(byId("services"), o.services, (s) => s.service, serviceRow(o), 13, "No service yet.");
        setRows(byId("dependencies"), o.dependencies, (d) => JSON.stringify([d.service, d.target]), dependencyRow, 8,
            "No call of another server was seen.");
        setText(byId("shown"), group(o.routes.length) + " of " + group(o.matching));
        setRows(byId("route-rows"), o.routes, routeKey, routeRow(o), 12, "No route matches.");
        setRows(byId("unobservable"), o.unobservable, (u) => u.service + "\n" + u.reason, reasonRow, 3,
            "Everything that listens here, as far as this user may look, is observed.");
        document.documentElement.dataset.updated = String(o.time_seconds);
    }

    // --- asking

    async function ask() {
        clearTimeout(timer);
        if (asked)
            asked.abort();
        const mine = asked = new AbortController();
        try {
            const answer = await fetch("api/v1/overview" + location.search, {signal: mine.signal, cache: "no-store"});
            const o = await answer.json();
            if (!answer.ok)
                throw new Error(o.error || answer.statusText);
            show(o);
        } catch (error) {
            if (mine.signal.aborted)
                return;
            setText(byId("asof"), "Not up to date: the exporter does not answer.");
            setClass(byId("asof"), "bad");
        }
        asked = null;
        plan();
    }
    function plan() {
        clearTimeout(timer);
        if (!isPaused && !document.hidden)
            timer = setTimeout(ask, PERIOD_MS);
    }
    // Another address: the form, the headings and the place are made by the server, so they are taken from its page.
    async function go(address, isNew) {
        if (isNew)
            history.pushState(null, "", address);
        const page = new DOMParser().parseFromString(await (await fetch("./" + location.search, {cache: "no-store"})).text(), "text/html");
        for (const selector of ["nav", "#routes-head", "title"])
            document.querySelector(selector).replaceWith(page.querySelector(selector));
        if (!byId("form").contains(document.activeElement))
            byId("form").replaceWith(page.getElementById("form"));
        await ask();
    }
    function formAddress() {
        const q = new URLSearchParams(new FormData(byId("form")));
        for (const [name, value] of [...q])
            if (!value || (name === "sort" && value === "rate") || (name === "limit" && value === "50"))
                q.delete(name);
        return "?" + q;
    }

    document.addEventListener("click", (event) => {
        const a = event.target.closest("a[href^='?']");
        if (!a || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
            return;
        event.preventDefault();
        go(a.getAttribute("href"), true);
    });
    document.addEventListener("submit", (event) => {
        event.preventDefault();
        go(formAddress(), true);
    });
    let typing = 0;
    document.addEventListener("input", (event) => {
        if (!byId("form").contains(event.target))
            return;
        clearTimeout(typing);
        typing = setTimeout(() => {
            history.replaceState(null, "", formAddress());
            go(location.search, false);
        }, event.target.type === "search" ? 250 : 0);
    });
    addEventListener("popstate", () => go(location.search, false));
    document.addEventListener("visibilitychange", () => document.hidden || isPaused ? clearTimeout(timer) : ask());
    const pause = byId("pause");
    pause.hidden = false;
    pause.addEventListener("click", () => {
        isPaused = !isPaused;
        pause.setAttribute("aria-pressed", String(isPaused));
        if (isPaused)
            clearTimeout(timer);
        else
            ask();
    });
    ask();
})();
