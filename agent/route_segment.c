/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one path segment is made of, judged by its form alone: numbers, UUIDs, hashes, dates, addresses, tokens, file
 * names and versions. Whether a plain word is a literal or somebody's name is not decided here (route_model.c).
 * Everything is linear in the segment and looks at no other state. Entry point: tb_segment_scan.
 */
#include "route_segment.h"

static const char placeholders[TB_KIND_COUNT][8] = {"",      ":id",   ":uuid",  ":hash", ":date", ":email", ":ip",
                                                    ":host", ":file", ":token", ":name", ":rest", ":locale"};

const char *tb_segment_placeholder(enum tb_route_kind kind)
{
    return (unsigned)kind < TB_KIND_COUNT ? placeholders[kind] : "";
}

uint32_t tb_segment_hash(struct tb_bytes text)
{
    uint64_t h = 0;
    const uint8_t *p = text.ptr;
    size_t left = text.len;
    for (; left > 8; left -= 8, p += 8)
        h = tb_segment_hash_block(h, tb_load_8(p));
    h = tb_segment_hash_block(h, tb_load_few(p, left));
    return tb_segment_hash_end(h, text.len);
}

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static bool is_upper(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26;
}

static bool is_lower(uint8_t c)
{
    return (uint8_t)(c - 'a') < 26;
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 6;
}

/* Bytes that a literal may hold besides letters and digits. */
static bool is_mark(uint8_t c)
{
    switch (c) {
    case '-':
    case '_':
    case '.':
    case '~':
    case ':':
    case '@':
    case '!':
    case '$':
    case '\'':
    case '(':
    case ')':
    case ',':
    case '+':
    case '=':
    case ';':
        return true;
    default:
        return false;
    }
}

/* Extensions of file names; what is not here is part of a name (node.js projects, dotted methods). */
static const char extensions[][8] = {
    "html", "htm", "xhtml", "shtml", "php",  "asp",  "aspx", "jsp",   "jspx",  "do",  "action", "cgi",  "pl",
    "js",   "mjs", "cjs",   "css",   "scss", "map",  "json", "jsonp", "xml",   "rss", "atom",   "yaml", "yml",
    "toml", "txt", "md",    "rst",   "csv",  "tsv",  "pdf",  "doc",   "docx",  "xls", "xlsx",   "ppt",  "pptx",
    "odt",  "rtf", "png",   "jpg",   "jpeg", "gif",  "webp", "avif",  "svg",   "ico", "bmp",    "tif",  "tiff",
    "mp3",  "mp4", "m4a",   "m4s",   "m4v",  "m3u8", "mpd",  "ts",    "webm",  "ogg", "wav",    "flac", "avi",
    "mov",  "mkv", "woff",  "woff2", "ttf",  "otf",  "eot",  "zip",   "tar",   "gz",  "tgz",    "bz2",  "xz",
    "zst",  "7z",  "rar",   "jar",   "war",  "whl",  "deb",  "rpm",   "apk",   "exe", "msi",    "dmg",  "iso",
    "bin",  "dat", "sql",   "bak",   "log",  "ics",  "wasm", "swf",   "proto", "gem", "nupkg",  "crt",  "pem"};

/* Bytes of ".ext" at the end of a file name, 0 = none. */
static uint8_t suffix_of(struct tb_bytes t)
{
    size_t n = 0;
    while (n < 8 && n + 1 < t.len && t.ptr[t.len - 1 - n] != '.')
        n++;
    if (n == 0 || n >= 7 || n + 1 >= t.len || t.ptr[t.len - 1 - n] != '.')
        return 0;
    const uint8_t *ext = t.ptr + t.len - n;
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        const char *e = extensions[i];
        size_t k = 0;
        while (k < n && e[k] && tb_lower(ext[k]) == (uint8_t)e[k])
            k++;
        if (k == n && !e[k])
            return (uint8_t)(n + 1);
    }
    return 0;
}

/* 8-4-4-4-12 hexadecimal digits, with or without braces. */
static bool is_uuid(struct tb_bytes t)
{
    if (t.len == 38 && t.ptr[0] == '{' && t.ptr[37] == '}')
        t = tb_bytes(t.ptr + 1, 36);
    if (t.len != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? t.ptr[i] != '-' : !is_hex(t.ptr[i]))
            return false;
    }
    return true;
}

/* YYYY-MM-DD (or with _ . as separators), and what may follow a T. */
static bool is_date(struct tb_bytes t)
{
    if (t.len < 10 || (t.len > 10 && t.ptr[10] != 'T' && t.ptr[10] != '_' && t.ptr[10] != ' '))
        return false;
    static const char form[] = "dddd-dd-dd";
    for (size_t i = 0; i < 10; i++)
        if (form[i] == 'd' ? !is_digit(t.ptr[i]) : (t.ptr[i] != '-' && t.ptr[i] != '_' && t.ptr[i] != '.'))
            return false;
    return (t.ptr[0] == '1' || t.ptr[0] == '2') && t.ptr[5] < '2' && t.ptr[8] < '4';
}

/* Four dotted numbers, an optional port or prefix length left out; or a colon form with two colons or more. */
static bool is_ip(struct tb_bytes t)
{
    unsigned dots = 0, colons = 0, run = 0, value = 0;
    bool only_digits = true, big = false;
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        if (c == '.') {
            if (!run)
                return false;
            dots++;
            run = value = 0;
        } else if (c == ':') {
            colons++;
            run = 0;
        } else if (is_hex(c)) {
            only_digits = only_digits && is_digit(c);
            value = value * 10 + (unsigned)(c & 15);
            big = big || value > 255;
            if (++run > 4)
                return false;
        } else {
            return false;
        }
    }
    return colons ? colons >= 2 && colons <= 7 && t.len >= 6 : dots == 3 && run > 0 && only_digits && !big;
}

/* One of the words in @list, which are of @len letters each and stand behind one another. */
static bool is_among(const char *list, const uint8_t *p, size_t len)
{
    for (; *list; list += len)
        if (tb_equal(p, list, len))
            return true;
    return false;
}

/* en-US, pt_BR, zh-Hans, sr-Latn-RS; with a small region (en-us) only when both are well known: to-do is a word. */
static bool is_locale(struct tb_bytes t)
{
    static const char languages[] = "arbgcscadadeelenesetfifrhehihrhuiditjakoltlvnbnlplptrorusksl"
                                    "srsvthtrukvizh";
    static const char regions[] = "aearatauaebebgbrcachclcncoczdkdeeeegesfifrgbgrhkhrhuidieilinitjpkrltlvmxmynlnonz"
                                  "pephplptrorsrusasesgsiskthtrtwuaukusvnza";
    static const char scripts[] = "HansHantLatnCyrlArab";
    if (t.len < 5 || t.len > 10 || !is_lower(t.ptr[0]) || !is_lower(t.ptr[1]) || (t.ptr[2] != '-' && t.ptr[2] != '_'))
        return false;
    const uint8_t *p = t.ptr + 3;
    size_t left = t.len - 3;
    if (left >= 4 && is_among(scripts, p, 4)) {
        if (left == 4)
            return true;
        if (p[4] != '-' && p[4] != '_')
            return false;
        p += 5;
        left -= 5;
    }
    if (left != 2)
        return false;
    return (is_upper(p[0]) && is_upper(p[1])) || (is_among(regions, p, 2) && is_among(languages, t.ptr, 2));
}

/* What a host name ends in. Those of sure names are no end of a word in paths of APIs; k8s.io and node.dev may be. */
static const char sure_domains[][12] = {"com",      "net",   "org",         "edu",    "gov",
                                        "internal", "local", "localdomain", "example"};
static const char domains[][8] = {"io", "dev", "app", "info", "biz", "cloud", "test", "xyz", "uk", "de",
                                  "fr", "nl",  "eu",  "ch",   "at",  "jp",    "au",   "br",  "ca", "se"};

/* 2 a host name, 1 may be one, 0 none: labels of letters, digits and dashes. */
static unsigned is_host(struct tb_bytes t)
{
    size_t last = 0;
    for (size_t i = 0; i < t.len; i++) {
        bool edge = !i || i + 1 == t.len || t.ptr[i - 1] == '.' || t.ptr[i + 1] == '.';
        if (t.ptr[i] == '.' ? !i || t.ptr[i - 1] == '.'
                            : !is_lower(t.ptr[i]) && !is_digit(t.ptr[i]) && (edge || t.ptr[i] != '-'))
            return 0;
        last = t.ptr[i] == '.' ? i + 1 : last;
    }
    size_t len = t.len - last;
    if (!last || !len)
        return 0;
    for (size_t i = 0; i < sizeof sure_domains / sizeof *sure_domains; i++)
        if (tb_strnlen(sure_domains[i], 12) == len && tb_equal(t.ptr + last, sure_domains[i], len))
            return 2;
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (tb_strnlen(domains[i], 8) == len && tb_equal(t.ptr + last, domains[i], len))
            return 1;
    return 0;
}

/*
 * Versions: v1, v10, v1.47, v2beta1, 2.0, 1.2-beta, 2024-01 and the like. Three numbers are a release, thus a value.
 */
static bool is_version(struct tb_bytes t)
{
    size_t i = 0;
    bool v = t.len > 1 && (t.ptr[0] == 'v' || t.ptr[0] == 'V') && is_digit(t.ptr[1]);
    i = v ? 1 : 0;
    size_t from = i, dots = 0;
    while (i < t.len && i - from < 4 && is_digit(t.ptr[i]))
        i++;
    size_t major = i - from;
    if (!major || (v && major > 3))
        return false;
    if (!v && major == 4 && t.len == 7 && t.ptr[4] == '-' && t.ptr[0] == '2' && t.ptr[5] < '2' && is_digit(t.ptr[5]) &&
        is_digit(t.ptr[6]))
        return true;
    if (i < t.len && (t.ptr[i] == '.' || (v && t.ptr[i] == '_'))) {
        size_t minor = ++i;
        while (i < t.len && i - minor < 3 && is_digit(t.ptr[i]))
            i++;
        if (i == minor)
            return false;
        dots = 1;
    }
    if (i == t.len)
        return v || (dots && major < 3);
    if (!v)
        return false;
    static const char stages[][8] = {"alpha", "beta", "rc", "preview", "p", "b"};
    if (t.ptr[i] == '-')
        i++;
    for (size_t k = 0; k < sizeof stages / sizeof *stages; k++) {
        size_t n = tb_strnlen(stages[k], 8);
        if (t.len - i < n || !tb_equal(t.ptr + i, stages[k], n))
            continue;
        size_t j = i + n;
        while (j < t.len && j - i - n < 3 && (is_digit(t.ptr[j]) || t.ptr[j] == 'p'))
            j++;
        if (j == t.len)
            return true;
    }
    return false;
}

/* Digits in a row that no word has: account4711001 is somebody's. */
#define LONG_NUMBER 6u

/* Counts over the bytes; false when a byte cannot stand in a literal. */
struct tally {
    unsigned digits, uppers, lowers, marks, hexes, ats, dots, colons, equals, bangs, run, longest, changes, number,
        longest_number;
    bool plain;
};

static void tally_bytes(struct tb_bytes t, struct tally *n)
{
    *n = (struct tally){.plain = true};
    unsigned last = 0;
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        unsigned what = is_lower(c) ? 1 : is_upper(c) ? 2 : is_digit(c) ? 3 : 4;
        n->lowers += what == 1;
        n->uppers += what == 2;
        n->digits += what == 3;
        n->hexes += is_hex(c);
        n->changes += i && what != last && !(last == 2 && what == 1) && what != 4 && last != 4;
        n->run = what <= 2 ? n->run + 1 : 0;
        n->longest = n->run > n->longest ? n->run : n->longest;
        n->number = what == 3 ? n->number + 1 : 0;
        n->longest_number = n->number > n->longest_number ? n->number : n->longest_number;
        if (what == 4) {
            n->plain = n->plain && is_mark(c);
            n->marks++;
            n->ats += c == '@';
            n->dots += c == '.';
            n->colons += c == ':';
            n->equals += c == '=';
            n->bangs += c == '!' || c == '$';
        }
        last = what;
    }
}

/* A run of letters and digits that no one would say aloud. */
static bool is_random(const struct tally *n, size_t len)
{
    if (n->hexes == len && n->digits >= 2 && len >= 8)
        return true;
    if (len >= 20 && n->digits >= 2 && n->changes >= 3)
        return true;
    if (n->uppers && n->lowers && n->digits >= 2 && len >= 12 && n->changes >= 4)
        return true;
    if (len >= 8 && n->digits >= 3 && n->changes >= 4)
        return true;
    return len >= 7 && n->digits * 2 >= len && n->longest <= 4;
}

/* What stands between a name and its value, or between words. */
static bool is_joint(uint8_t c)
{
    return c == '_' || c == '-' || c == ':' || c == '.' || c == '=' || c == '+' || c == '~' || c == ',';
}

/* cus_Nf8s..., sub-0a1b2c..., card=4000056655665556: a short word and something random. */
static bool has_random_tail(struct tb_bytes t)
{
    size_t at = t.len;
    while (at && !is_joint(t.ptr[at - 1]))
        at--;
    if (!at || t.len - at < 5)
        return false;
    struct tb_bytes tail = tb_bytes(t.ptr + at, t.len - at);
    struct tally n;
    tally_bytes(tail, &n);
    return is_random(&n, tail.len) || n.digits == tail.len ||
           (n.plain && tail.len >= 14 && n.uppers >= 2 && n.lowers >= 2 && (n.digits || n.changes >= 4)) ||
           (n.digits >= 2 && n.changes >= 2 && tail.len >= 8);
}

static uint8_t clip(unsigned n)
{
    return (uint8_t)(n > 255 ? 255 : n);
}

/* The placeholder for a form that leaves no doubt; TB_KIND_LITERAL when the form decides nothing. */
static enum tb_route_kind form_of(struct tb_bytes t, const struct tally *n)
{
    if (n->digits == t.len)
        return TB_KIND_ID;
    if (n->hexes >= 32 && is_uuid(t))
        return TB_KIND_UUID;
    if (n->digits >= 8 && is_date(t))
        return TB_KIND_DATE;
    if (n->ats == 1 && n->dots && t.ptr[0] != '@')
        return TB_KIND_EMAIL;
    if ((n->dots == 3 || n->colons >= 2) && is_ip(t))
        return TB_KIND_IP;
    if (!n->plain)
        return TB_KIND_NAME;
    if (n->marks && !n->digits && is_locale(t))
        return TB_KIND_LOCALE;
    if (n->dots && is_host(t) == 2)
        return TB_KIND_HOST;
    if (n->hexes == t.len && n->digits >= 2 && t.len >= 7)
        return TB_KIND_HASH;
    if (n->colons == 1 && n->hexes >= 32)
        return TB_KIND_HASH;
    if (n->digits && n->digits + n->marks == t.len)
        return TB_KIND_ID;
    if (n->equals && n->uppers && n->lowers && t.len >= 20 && n->marks == n->equals)
        return TB_KIND_TOKEN;              /* base64, filled up */
    if (n->digits >= 3 && n->changes >= 5) /* letters and digits in turn, as no word has them */
        return t.len >= 20 && !n->marks ? TB_KIND_TOKEN : TB_KIND_ID;
    if (n->digits + n->uppers == t.len && t.len == 26 && n->digits >= 2)
        return TB_KIND_TOKEN;
    if (n->equals && n->uppers && n->lowers && t.len >= 12)
        return TB_KIND_TOKEN;
    if (n->marks == 0) {
        if (is_random(n, t.len))
            return t.len >= 16 ? TB_KIND_TOKEN : TB_KIND_ID;
    } else if (has_random_tail(t)) {
        return TB_KIND_ID;
    }
    if (t.len >= 22 && n->uppers >= 3 && n->lowers >= 3 && n->digits >= 2 && n->changes >= 5)
        return TB_KIND_TOKEN;
    if (t.len >= 22 && n->uppers >= 5 && n->lowers >= 5 && n->changes >= 5 && n->marks <= 3)
        return TB_KIND_TOKEN;
    if (n->bangs && n->digits && n->uppers && n->lowers && t.len >= 12)
        return TB_KIND_TOKEN; /* a key or a password; names have no such mark among digits and capitals */
    return n->longest_number >= LONG_NUMBER ? TB_KIND_ID : TB_KIND_LITERAL;
}

void tb_segment_scan(struct tb_bytes text, struct tb_segment *ret)
{
    struct tally n;
    tally_bytes(text, &n);
    *ret = (struct tb_segment){.text = text, .hash = tb_segment_hash(text), .is_plain = n.plain};
    ret->digits = clip(n.digits);
    ret->uppers = clip(n.uppers);
    ret->lowers = clip(n.lowers);
    ret->marks = clip(n.marks);
    ret->letters = clip(n.longest);
    ret->kind = TB_KIND_NAME;
    if (text.len == 0)
        return;
    if (n.plain && n.digits && is_version(text)) {
        ret->is_version = true;
        ret->kind = TB_KIND_ID;
        return;
    }
    enum tb_route_kind form = form_of(text, &n);
    ret->suffix = n.plain ? suffix_of(text) : 0;
    if (ret->suffix && form != TB_KIND_EMAIL && form != TB_KIND_IP) {
        struct tb_bytes stem = tb_bytes(text.ptr, text.len - ret->suffix);
        struct tally m;
        tally_bytes(stem, &m);
        enum tb_route_kind of_stem = stem.len ? form_of(stem, &m) : TB_KIND_LITERAL;
        ret->is_value = of_stem != TB_KIND_LITERAL || m.digits >= 4;
        bool is_bare = m.digits == stem.len || of_stem == TB_KIND_UUID; /* 42.json is a value, app.3f2a1b9c.js a file */
        ret->kind = is_bare ? (uint8_t)of_stem : TB_KIND_FILE;
        return;
    }
    if (form != TB_KIND_LITERAL) {
        ret->is_value = true;
        ret->kind = (uint8_t)form;
        return;
    }
    ret->kind = n.dots && is_host(text) ? TB_KIND_HOST : n.digits ? TB_KIND_ID : TB_KIND_NAME;
}
