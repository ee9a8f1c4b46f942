/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From connect, getsockopt and getaddrinfo to the core (calls.h). What a failure means is decided here, since it is
 * said in errno and EAI_ numbers; what it was for, and whether it counts, by the core.
 *
 * A program without a region gets one for an error only where the port is one of HTTP's: whoever looks up and reaches
 * for databases is asked nothing of the kernel.
 */
#include "calls.h"

#include <errno.h>

#include "../agent/attempts.h"
#include "raw.h"
#include "resolve.h"

/* What a connect that failed with @error says of the other side; 0: nothing. */
static enum tb_call_error reason_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case EHOSTUNREACH: /* a router or this machine refuses at once */
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        return TB_CALL_REFUSED;
    case ETIMEDOUT:
        return TB_CALL_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
        return TB_CALL_RESET;
    default:
        return (enum tb_call_error)0;
    }
}

static uint64_t key_of(int fd, uint64_t word)
{
    return tb_attempt_key(fd, word & TB_FD_BIRTH_MASK);
}

/* Is it a stream socket that the program made, and which carries nothing that was recognised, but for TLS? */
static bool is_fresh(uint64_t word)
{
    return word & TB_FD_CLIENT;
}

static void ensure_region(uint16_t port)
{
    if (tb_attempt_is_http_port(port))
        (void)tb_process_region(false);
}

uint64_t tb_calls_start(void)
{
    return tb_core.env.monotonic_ns();
}

/* A second connect, an SO_ERROR, a read or a write tell what became of it. */
static void failed(int fd, uint64_t word, int error)
{
    enum tb_call_error why = reason_of(error);
    uint64_t key = key_of(fd, word);
    if (!why)
        return;
    tb_process_check_fork();
    ensure_region(tb_attempt_port(&tb_core, key));
    tb_attempt_ended(&tb_core, key, why);
}

void tb_calls_connect(int fd, const struct sockaddr *to, socklen_t to_len, int ret, uint64_t start_ns)
{
    int error = ret < 0 && __errno_location ? *__errno_location() : 0;
    uint64_t word = tb_fd_word(fd), key = key_of(fd, word);
    struct tb_address address;
    if (!is_fresh(word) || error == EALREADY)
        return;
    tb_process_check_fork();
    if (error == EISCONN || (!ret && tb_attempt_is_pending(&tb_core, key))) {
        tb_attempt_ended(&tb_core, key, (enum tb_call_error)0);
        return;
    }
    if (reason_of(error) && tb_attempt_is_pending(&tb_core, key)) { /* what became of the first */
        failed(fd, word, error);
        return;
    }
    bool is_pending = error == EINPROGRESS || error == EINTR;
    enum tb_call_error why = reason_of(error);
    if (ret < 0 && !is_pending && !why) /* the program's own mistake: what it passed may not even be readable */
        return;
    uint16_t port = tb_address_of(to, to_len, &address);
    if (is_pending && !start_ns && tb_attempt_is_http_port(port)) {
        tb_process_clock();
        start_ns = tb_core.env.monotonic_ns();
    }
    if (why)
        ensure_region(port);
    tb_attempt_begin(&tb_core, key, fd, &address, port, start_ns);
    if (!is_pending)
        tb_attempt_ended(&tb_core, key, why);
}

void tb_calls_option(int fd, int level, int name, const void *value, const socklen_t *len, int ret)
{
    uint64_t word = tb_fd_word(fd);
    int error;
    if (ret || level != SOL_SOCKET || name != SO_ERROR || !is_fresh(word) || *len < sizeof error)
        return; /* of a shorter value the kernel wrote no more than asked */
    __builtin_memcpy(&error, value, sizeof error);
    if (error)
        failed(fd, word, error);
    else
        tb_attempt_ended(&tb_core, key_of(fd, word), (enum tb_call_error)0);
}

void tb_calls_failed(int fd, uint64_t word, int error)
{
    if (is_fresh(word))
        failed(fd, word, error);
}

void tb_calls_carries(int fd, uint64_t word, const struct tb_conn *conn, bool is_tls)
{
    tb_attempt_carries(&tb_core, key_of(fd, word), conn, is_tls);
}

void tb_calls_closed(int fd, uint64_t word)
{
    uint64_t key = key_of(fd, word);
    if (tb_attempt_is_pending(&tb_core, key)) {
        if (tb_process_is_other()) /* a vfork child closes its own descriptors */
            return;
        ensure_region(tb_attempt_port(&tb_core, key));
    }
    tb_attempt_left(&tb_core, key);
}

void tb_calls_shaken(int fd, uint64_t duration_ns, bool is_done)
{
    uint64_t word = fd >= 0 ? tb_fd_word(fd) : 0;
    if (word)
        tb_attempt_shaken(&tb_core, key_of(fd, word), duration_ns, is_done);
}

/* ---- names ---- */

/* getaddrinfo's service: a number, or one of the two names that matter here; 0: none, or another. */
static uint16_t port_of(const char *service)
{
    static const struct {
        const char *name;
        uint16_t port;
    } known[] = {{"http", 80}, {"https", 443}};
    size_t len = service ? tb_strnlen(service, 8) : 0;
    uint32_t port = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (len && len == tb_strnlen(known[i].name, 8) && tb_equal(service, known[i].name, len))
            return known[i].port;
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)(service[i] - '0') >= 10)
            return 0;
        port = port * 10 + (uint32_t)(service[i] - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* Did the name itself fail? Not when only one kind of address was wanted of it, or none looked up at all. */
static bool is_dns_error(int ret, const struct addrinfo *hints)
{
    bool is_about_name = ret == EAI_NONAME || ret == EAI_AGAIN || ret == EAI_FAIL || ret == EAI_NODATA;
    return is_about_name && !(hints && (hints->ai_flags & AI_NUMERICHOST || hints->ai_family == AF_INET6));
}

void tb_calls_resolved(const char *node, const char *service, const struct addrinfo *hints, const struct addrinfo *list,
                       int ret)
{
    struct tb_address addresses[TB_NAME_ADDRESSES];
    size_t count = 0;
    if (!node || (ret && !is_dns_error(ret, hints)) || !tb_wake())
        return;
    tb_process_check_fork();
    struct tb_bytes name = tb_bytes(node, tb_strnlen(node, TB_NAME_BYTES + 1));
    if (ret) {
        uint16_t port = port_of(service);
        ensure_region(port);
        tb_attempt_unresolved(&tb_core, name, port);
        return;
    }
    for (; list && count < TB_NAME_ADDRESSES; list = list->ai_next) {
        struct tb_address *at = &addresses[count];
        (void)tb_address_of(list->ai_addr, list->ai_addrlen, at);
        bool is_new = at->family != 0;
        for (size_t i = 0; i < count; i++) /* one entry for each kind of socket */
            is_new &= addresses[i].family != at->family || !tb_equal(addresses[i].bytes, at->bytes, sizeof at->bytes);
        count += is_new;
    }
    tb_attempt_resolved(&tb_core, name, addresses, count);
}

void tb_calls_end_all(void)
{
    tb_attempt_end_all(&tb_core);
}
