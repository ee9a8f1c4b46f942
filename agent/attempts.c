/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to connect, their names and what comes of them (attempts.h). */
#include "attempts.h"
#include "core.h"
#include "dependency.h"
#include "series.h"
#include "syscalls.h"

#include <netinet/in.h>
#include <sys/un.h>

#define PROBES 8u
#define AUTHORITY_MAX 128u /* a name, or "unix:" and a path, and a port */

/* ---- the table ---- */

static uint32_t place_of(uint64_t key)
{
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static struct tb_attempt *find(struct tb_core *core, uint64_t key)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        struct tb_attempt *a = &core->attempts[(place_of(key) + i) % TB_ATTEMPTS];
        if (tb_load_acquire(&a->key) == key)
            return a;
    }
    return NULL;
}

/* A free place for @key, claimed. */
static struct tb_attempt *claim(struct tb_core *core, uint64_t key)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        struct tb_attempt *a = &core->attempts[(place_of(key) + i) % TB_ATTEMPTS];
        uint64_t none = 0;
        if (tb_cas_acq_rel(&a->key, &none, key))
            return a;
    }
    return NULL;
}

static void release(struct tb_attempt *a)
{
    tb_store_release(&a->key, 0);
}

static uint64_t key_of_conn(const struct tb_conn *c)
{
    return (uintptr_t)c; /* even */
}

static bool is_inherited(const struct tb_core *core, const struct tb_attempt *a)
{
    return a->fork_generation != (uint16_t)core->fork_generation;
}

/* ---- whom it is for ---- */

static size_t put_number(uint8_t *to, uint32_t number)
{
    uint8_t digits[10];
    size_t count = 0, len = 0;
    do
        digits[count++] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    while (count)
        to[len++] = digits[--count];
    return len;
}

static size_t put_ipv4(uint8_t *to, const uint8_t *bytes)
{
    size_t len = 0;
    for (int i = 0; i < 4; i++) {
        if (i)
            to[len++] = '.';
        len += put_number(to + len, bytes[i]);
    }
    return len;
}

/* RFC 5952: groups without leading zeros, the longest run of zero groups (the first of several) as "::". */
static size_t put_ipv6(uint8_t *to, const uint8_t *bytes)
{
    static const char hex[] = "0123456789abcdef";
    int best = -1, best_len = 1;
    size_t len = 0;
    for (int i = 0; i < 8; i++) {
        int run = 0;
        while (i + run < 8 && !bytes[2 * (i + run)] && !bytes[2 * (i + run) + 1])
            run++;
        if (run > best_len)
            best = i, best_len = run;
    }
    to[len++] = '[';
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            to[len++] = ':';
            to[len++] = ':';
            i += best_len - 1;
            continue;
        }
        if (i && i != best + best_len)
            to[len++] = ':';
        uint32_t group = (uint32_t)bytes[2 * i] << 8 | bytes[2 * i + 1];
        bool is_started = false;
        for (int shift = 12; shift >= 0; shift -= 4)
            if ((is_started |= group >> shift || !shift))
                to[len++] = (uint8_t)hex[group >> shift & 15];
    }
    to[len++] = ']';
    return len;
}

static size_t put_port(uint8_t *to, uint16_t port)
{
    if (!port || port == 80 || port == 443)
        return 0;
    to[0] = ':';
    return 1 + put_number(to + 1, port);
}

static size_t put_address(uint8_t *to, const struct tb_address *address)
{
    if (address->family == 4)
        return put_ipv4(to, address->bytes);
    return address->family == 6 ? put_ipv6(to, address->bytes) : 0;
}

/* The authority that a request there would name. Returns its length; 0: none is known. */
static size_t authority_of(struct tb_core *core, const struct tb_attempt *a, uint8_t *ret)
{
    size_t len = tb_name_text(core, &a->name, ret);
    if (len && a->name.is_whole)
        return len;
    if (!len)
        len = put_address(ret, &a->address);
    return len ? len + put_port(ret + len, a->port) : 0;
}

/* The same of a connection whose requests name nobody, asked of the kernel. */
static size_t peer_of(struct tb_core *core, int fd, uint8_t *ret)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } at = {0};
    static const char prefix[] = "unix:";
    socklen_t size = sizeof at;
    size_t len = sizeof prefix - 1;
    struct tb_address address;
    if (tb_syscall(core, SYS_getpeername, fd, (long)&at, (long)&size, 0, 0, 0))
        return 0;
    if (at.any.sa_family == AF_UNIX) {
        tb_copy(ret, prefix, len);
        for (size_t i = 0; i < sizeof at.un.sun_path && at.un.sun_path[i] && len < AUTHORITY_MAX; i++) {
            uint8_t c = (uint8_t)at.un.sun_path[i];
            if (c <= ' ' || c >= 127)
                return 0;
            ret[len++] = c;
        }
        return len == sizeof prefix - 1 ? 0 : len;
    }
    uint16_t port = tb_address_of(&at.any, size, &address);
    len = put_address(ret, &address);
    return len ? len + put_port(ret + len, port) : 0;
}

uint16_t tb_address_of(const void *socket_address, size_t size, struct tb_address *ret)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *p = socket_address;
    sa_family_t family = 0;
    *ret = (struct tb_address){0};
    if (!p || size < sizeof family)
        return 0;
    __builtin_memcpy(&family, p, sizeof family);
    if (family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        ret->family = 4;
        tb_copy(ret->bytes, p + offsetof(struct sockaddr_in, sin_addr), 4);
    } else if (family == AF_INET6 && size >= offsetof(struct sockaddr_in6, sin6_addr) + 16) {
        const uint8_t *bytes = p + offsetof(struct sockaddr_in6, sin6_addr);
        bool is_mapped = tb_equal(bytes, mapped, sizeof mapped);
        ret->family = is_mapped ? 4 : 6;
        tb_copy(ret->bytes, bytes + (is_mapped ? 12 : 0), is_mapped ? 4 : 16);
    } else {
        return 0;
    }
    p += offsetof(struct sockaddr_in, sin_port); /* the same place in both */
    return (uint16_t)(p[0] << 8 | p[1]);
}
_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "the port's place");

/* ---- errors ---- */

bool tb_attempt_is_http_port(uint16_t port)
{
    static const uint16_t ports[] = {80, 443, 8000, 8008, 8080, 8081, 8088, 8443, 8888};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
        if (ports[i] == port)
            return true;
    return false;
}

/* An attempt that never became a connection may have been for anything: it counts where HTTP is at home, was seen
 * before, or was declared. */
static void count_errors(struct tb_core *core, uint8_t *authority, size_t len, uint16_t port, enum tb_call_error why,
                         uint32_t count)
{
    if (!core->base || !len || !count)
        return;
    uint32_t target = tb_attempt_is_http_port(port) ? tb_dependency_target(core, tb_bytes(authority, len))
                                                    : tb_dependency_known(core, tb_bytes(authority, len));
    for (; target && count; count--)
        tb_dependency_failed(core, target, why);
}

static void count_held(struct tb_core *core, const struct tb_name_errors *e)
{
    uint8_t authority[AUTHORITY_MAX + 8];
    if (!e->count)
        return;
    tb_copy(authority, e->name, e->len);
    size_t len = e->len + put_port(authority + e->len, e->port);
    count_errors(core, authority, len, e->port, (enum tb_call_error)e->why, e->count);
}

static void end(struct tb_core *core, struct tb_attempt *a, enum tb_call_error why, bool is_left)
{
    uint8_t authority[AUTHORITY_MAX + 8];
    struct tb_name_errors errors = {0};
    uint64_t now_ns = tb_monotonic_ns(core);
    a->is_pending = 0;
    if (!why && a->start_ns && now_ns > a->start_ns)
        a->connect_ns = now_ns - a->start_ns;
    if (a->name.serial) {
        tb_name_ended(core, &a->name, (uint8_t)why, is_left, a->port, a->start_ns, now_ns, &errors);
        count_held(core, &errors);
    } else if (why) {
        size_t len = authority_of(core, a, authority);
        count_errors(core, authority, len, a->port, why, 1);
    }
}

/* ---- its life ---- */

void tb_attempt_begin(struct tb_core *core, uint64_t key, int fd, const struct tb_address *address, uint16_t port,
                      uint64_t start_ns)
{
    struct tb_attempt *a = find(core, key);
    if (a && a->is_pending) /* another address, the first one is given up */
        tb_attempt_left(core, key);
    else if (a)
        release(a);
    a = claim(core, key);
    if (!a)
        return;
    a->start_ns = start_ns;
    a->connect_ns = 0;
    a->fd = fd;
    a->target = 0;
    a->address = *address;
    a->port = port;
    a->fork_generation = (uint16_t)core->fork_generation;
    a->is_pending = 1;
    (void)tb_name_attempt(core, address, port, &a->name);
}

void tb_attempt_ended(struct tb_core *core, uint64_t key, enum tb_call_error why)
{
    struct tb_attempt *a = find(core, key);
    if (!a || !a->is_pending || is_inherited(core, a))
        return;
    end(core, a, why, false);
    if (why)
        release(a);
}

void tb_attempt_left(struct tb_core *core, uint64_t key)
{
    struct tb_attempt *a = find(core, key);
    if (!a)
        return;
    if (a->is_pending && !is_inherited(core, a))
        end(core, a, TB_CALL_TIMEOUT, true);
    release(a);
}

bool tb_attempt_is_pending(struct tb_core *core, uint64_t key)
{
    const struct tb_attempt *a = find(core, key);
    return a && a->is_pending && !is_inherited(core, a);
}

uint16_t tb_attempt_port(struct tb_core *core, uint64_t key)
{
    const struct tb_attempt *a = find(core, key);
    return a ? a->port : 0;
}

void tb_attempt_forget(struct tb_core *core, const struct tb_conn *c)
{
    struct tb_attempt *a = find(core, key_of_conn(c));
    if (a)
        release(a);
}

static void count_connect(struct tb_core *core, struct tb_attempt *a, uint32_t target)
{
    if (a->connect_ns && target && !is_inherited(core, a))
        tb_dependency_took(core, TB_FAMILY_CALL_CONNECT, target, a->connect_ns);
    a->connect_ns = 0;
}

/* The target of what is TLS: by the name that was looked up. 0: it need not be HTTP. */
static uint32_t tls_target(struct tb_core *core, const struct tb_attempt *a)
{
    uint8_t authority[AUTHORITY_MAX + 8];
    size_t len = core->base ? authority_of(core, a, authority) : 0;
    if (!len)
        return 0;
    return tb_attempt_is_http_port(a->port) ? tb_dependency_target(core, tb_bytes(authority, len))
                                            : tb_dependency_known(core, tb_bytes(authority, len));
}

void tb_attempt_carries(struct tb_core *core, uint64_t key, const struct tb_conn *c, bool is_tls)
{
    struct tb_attempt *a = find(core, key);
    if (!a)
        return;
    if (a->is_pending && !is_inherited(core, a))
        end(core, a, (enum tb_call_error)0, false);
    struct tb_attempt *next = c ? claim(core, key_of_conn(c)) : NULL;
    if (next) {
        struct tb_attempt moved = *a;
        moved.key = next->key; /* never another's, not for a moment */
        *next = moved;
    }
    if (!is_tls)
        release(a);
}

void tb_attempt_shaken(struct tb_core *core, uint64_t key, uint64_t duration_ns, bool is_done)
{
    struct tb_attempt *a = find(core, key);
    uint32_t target = a && !is_inherited(core, a) ? tls_target(core, a) : 0;
    if (a && a->is_pending && !is_inherited(core, a))
        end(core, a, (enum tb_call_error)0, false);
    if (!target)
        return;
    count_connect(core, a, target);
    if (!is_done)
        tb_dependency_failed(core, target, TB_CALL_TLS);
    else if (duration_ns)
        tb_dependency_took(core, TB_FAMILY_CALL_TLS, target, duration_ns);
}

/* Whoever connects there again without looking up a name is after the same. */
static void learn(struct tb_core *core, const struct tb_attempt *a, uint32_t target)
{
    if (target != TB_STR_OTHER && (!a->name.serial || a->name.is_whole))
        tb_name_learned(core, tb_string_get(core->strings, TB_LEN_STRINGS, target), &a->address, a->port);
}

uint32_t tb_attempt_asked(struct tb_core *core, const struct tb_conn *c, uint32_t target)
{
    uint8_t authority[AUTHORITY_MAX + 8];
    struct tb_attempt *a = find(core, key_of_conn(c));
    if (!a)
        return target;
    if (!target && !a->target) {
        size_t len = peer_of(core, a->fd, authority);
        a->target = len ? tb_dependency_target(core, tb_bytes(authority, len)) : TB_STR_OTHER;
    }
    count_connect(core, a, target ? target : a->target);
    if (!target)
        return a->target; /* it stays for the requests to come */
    learn(core, a, target);
    release(a);
    return target;
}

/* ---- names ---- */

void tb_attempt_unresolved(struct tb_core *core, struct tb_bytes name, uint16_t port)
{
    uint8_t authority[AUTHORITY_MAX + 8];
    if (!name.len || name.len > TB_NAME_BYTES)
        return;
    for (size_t i = 0; i < name.len; i++) {
        authority[i] = tb_lower(name.ptr[i]);
        if (authority[i] <= ' ' || authority[i] >= 127)
            return;
    }
    size_t len = name.len + put_port(authority + name.len, port);
    count_errors(core, authority, len, port, TB_CALL_DNS, 1);
}

void tb_attempt_resolved(struct tb_core *core, struct tb_bytes name, const struct tb_address *addresses, size_t count)
{
    struct tb_name_errors errors = {0};
    tb_name_resolved(core, name, addresses, count, tb_monotonic_ns(core), &errors);
    count_held(core, &errors);
}

void tb_attempt_end_all(struct tb_core *core)
{
    struct tb_name_errors errors = {0};
    for (uint32_t i = 0; i < TB_NAMES; i++) {
        tb_name_held(core, i, &errors);
        count_held(core, &errors);
    }
}
