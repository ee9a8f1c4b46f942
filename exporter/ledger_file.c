/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's bytes: a header with version, length and checksum, then records {type, length, content} in the machine's
 * byte order, each padded to 8 bytes. Readers skip record types that they do not know. Written to a new file, fsync,
 * rename: the file is always a whole one. Services are numbered by their order in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "ledger.h"
#include "log.h"
#include "users.h"

#define LEDGER_MAGIC UINT64_C(0x524547444c425431)
#define LEDGER_VERSION 1u
#define CELLS_MAX 4096u /* of a series; far above any bound set */
#define LEDGER_BYTES_MAX ((off_t)1 << 30)

enum record_type { RECORD_SERVICE = 1, RECORD_SERIES = 2, RECORD_MARK = 3, RECORD_OWNER = 4 };

struct file_header {
    uint64_t magic;
    uint32_t version;
    uint32_t reserved;
    uint64_t sequence;
    uint64_t length;   /* bytes after the header */
    uint64_t checksum; /* of them */
};
struct record_head {
    uint32_t type;
    uint32_t length; /* of the content, without padding */
};
struct service_record {
    uint64_t created_ns;
    uint32_t counters; /* number of uint64_t that follow; then the name */
    uint32_t name_len;
};
struct series_record {
    uint32_t service;
    uint8_t family, role, method, bound_set;
    uint16_t status, route_len, target_len, ext_len;
    uint32_t cells; /* of struct cell_record that follow; then route, target and ext */
    uint32_t reserved;
    uint64_t created_ns;
    uint64_t sum_ns, first_byte_ns, rx_bytes, tx_bytes, incomplete, untimed;
};
/* By bound, not by number: so a ledger outlives the way that a version numbers its cells. */
struct cell_record {
    uint64_t upper_ns;
    uint64_t count; /* modulo 2^64, never 0 */
};
struct mark_record {
    uint64_t region_id, generation, when_ns;
    uint8_t boot_id[16];
    uint32_t kind, service;
    uint32_t uid, reserved;
};

/* Whose a service is (users.h); none: of an earlier version, the next region decides. */
struct owner_record {
    uint32_t service;
    uint32_t uid;
};

static uint64_t checksum(const char *bytes, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* --- writing ---------------------------------------------------------------------------------------------------------
 */

static size_t begin_record(struct tb_buffer *b, uint32_t type)
{
    struct record_head head = {type, 0};
    tb_put(b, (const char *)&head, sizeof head);
    return b->len;
}

static void end_record(struct tb_buffer *b, size_t start)
{
    uint32_t length = (uint32_t)(b->len - start);
    memcpy(b->data + start - sizeof length, &length, sizeof length);
    while (b->len % 8)
        tb_put(b, "", 1);
}

static void write_owner(struct tb_buffer *b, const struct tb_snap_service *e, uint32_t service)
{
    if (!e->user)
        return;
    struct owner_record r = {service, e->user->uid};
    size_t start = begin_record(b, RECORD_OWNER);
    tb_put(b, (const char *)&r, sizeof r);
    end_record(b, start);
}

static bool is_zero(const struct tb_snap_values *v)
{
    if (v->sum_ns || v->first_byte_ns || v->rx_bytes || v->tx_bytes || v->incomplete || v->untimed)
        return false;
    for (const struct tb_snap_block *b = v->blocks; b; b = b->next)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            if (b->cells[i])
                return false;
    return true;
}

static void write_service(struct tb_buffer *b, const struct tb_snap_service *e)
{
    size_t start = begin_record(b, RECORD_SERVICE);
    struct service_record r = {e->created_ns, TB_COUNTER_COUNT, (uint32_t)strlen(e->name)};
    tb_put(b, (const char *)&r, sizeof r);
    tb_put(b, (const char *)e->base_counters, sizeof e->base_counters);
    tb_put(b, e->name, r.name_len);
    end_record(b, start);
}

static void write_series(struct tb_buffer *b, const struct tb_snap_series *e, uint32_t service)
{
    const struct tb_snap_values *v = &e->base;
    struct series_record r = {
        .service = service,
        .family = e->key.family,
        .role = e->key.role,
        .method = e->key.method,
        .bound_set = e->key.bound_set,
        .status = e->key.status,
        .route_len = (uint16_t)strnlen(e->key.route, UINT16_MAX),
        .target_len = (uint16_t)strnlen(e->key.target, UINT16_MAX),
        .ext_len = (uint16_t)strnlen(e->key.ext, UINT16_MAX),
        .created_ns = e->created_ns,
        .sum_ns = v->sum_ns,
        .first_byte_ns = v->first_byte_ns,
        .rx_bytes = v->rx_bytes,
        .tx_bytes = v->tx_bytes,
        .incomplete = v->incomplete,
        .untimed = v->untimed,
    };
    size_t start = begin_record(b, RECORD_SERIES), head_at = b->len;
    tb_put(b, (const char *)&r, sizeof r);
    for (const struct tb_snap_block *block = v->blocks; block; block = block->next) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            struct cell_record cell = {tb_cell_bound(e->key.bound_set, block->octave, i), block->cells[i]};
            if (!cell.count)
                continue;
            tb_put(b, (const char *)&cell, sizeof cell);
            r.cells++;
        }
    }
    memcpy(b->data + head_at, &r, sizeof r);
    tb_put(b, e->key.route, r.route_len);
    tb_put(b, e->key.target, r.target_len);
    tb_put(b, e->key.ext, r.ext_len);
    end_record(b, start);
}

static uint32_t service_number(const struct tb_snapshot *s, const struct tb_snap_service *e)
{
    uint32_t number = 0;
    for (size_t i = 0; i < s->service_count; i++) {
        if (s->services[i] == e)
            return number;
        number += !s->services[i]->is_forgotten;
    }
    return UINT32_MAX;
}

static void write_records(struct tb_buffer *b, const struct tb_ledger *l, const struct tb_snapshot *s)
{
    const struct tb_snap_service *last = NULL;
    uint32_t number = 0;
    for (size_t i = 0; i < s->service_count; i++)
        if (!s->services[i]->is_forgotten)
            write_service(b, s->services[i]);
    for (size_t i = 0; i < s->service_count; i++)
        if (!s->services[i]->is_forgotten)
            write_owner(b, s->services[i], number++);
    for (size_t i = 0; i < s->series_count; i++) {
        if (is_zero(&s->series[i]->base) || s->series[i]->service->is_forgotten)
            continue;
        if (s->series[i]->service != last)
            number = service_number(s, last = s->series[i]->service);
        write_series(b, s->series[i], number);
    }
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (const struct tb_mark *m = l->marks[i]; m; m = m->next) {
            if (m->service->is_forgotten)
                continue;
            struct mark_record r = {
                m->region_id, m->generation, m->when_ns, {0}, m->kind, service_number(s, m->service), m->uid, 0};
            memcpy(r.boot_id, m->boot_id, sizeof r.boot_id);
            size_t start = begin_record(b, RECORD_MARK);
            tb_put(b, (const char *)&r, sizeof r);
            end_record(b, start);
        }
    }
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_file(struct tb_ledger *l, const struct tb_buffer *b)
{
    /* Always a file of its own: what is there is a dead writer's, or put there to be written over by root. */
    unlinkat(l->dir_fd, "ledger.new", 0);
    int fd = openat(l->dir_fd, "ledger.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    tb_step("ledger-created");
    int r = write_all(fd, b->data, b->len);
    tb_step("ledger-written");
    tb_ledger_give(l, fd);
    if (!r && fsync(fd) < 0)
        r = -errno;
    struct stat st;
    if (!r && fstat(fd, &st) < 0)
        r = -errno;
    close(fd);
    tb_step("ledger-synced");
    if (!r && renameat(l->dir_fd, "ledger.new", l->dir_fd, "ledger") < 0)
        r = -errno;
    if (r) {
        unlinkat(l->dir_fd, "ledger.new", 0);
        return r;
    }
    tb_step("ledger-renamed");
    l->seen = st;
    /* The new file is what every process sees from here on; a directory that cannot be synced only risks the power cut,
     * after which all regions are gone as well. */
    if (fsync(l->dir_fd) < 0)
        tb_log(TB_LOG_DEBUG, "ledger directory not synced", "path", l->dir, "error", strerror(errno), NULL);
    return 0;
}

int tb_ledger_save(struct tb_ledger *l, const struct tb_snapshot *s)
{
    if (l->lock_fd < 0)
        return -EROFS;
    struct tb_buffer b = {0};
    struct file_header h = {.magic = LEDGER_MAGIC, .version = LEDGER_VERSION, .sequence = l->sequence + 1};
    tb_put(&b, (const char *)&h, sizeof h);
    write_records(&b, l, s);
    h.length = b.len - sizeof h;
    h.checksum = checksum(b.data + sizeof h, h.length);
    memcpy(b.data, &h, sizeof h);
    int r = write_file(l, &b);
    tb_buffer_free(&b);
    if (r) {
        l->write_failures++;
        return r;
    }
    l->sequence = h.sequence;
    l->is_dirty = false;
    l->is_loaded = true;
    l->writes++;
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------------------
 */

struct reading {
    struct tb_ledger *ledger;
    struct tb_snapshot *snapshot;
    struct tb_snap_service **services;
    size_t service_count, service_space;
};

static int read_service(struct reading *in, const char *p, size_t len)
{
    struct service_record r;
    if (len < sizeof r)
        return -EBADMSG;
    memcpy(&r, p, sizeof r);
    if (r.counters > TB_COUNTERS_MAX || len != sizeof r + r.counters * 8u + (size_t)r.name_len)
        return -EBADMSG;
    struct tb_snap_service *e = tb_snapshot_service(in->snapshot, p + sizeof r + r.counters * 8u, r.name_len);
    e->created_ns = r.created_ns;
    size_t known = r.counters < TB_COUNTER_COUNT ? r.counters : TB_COUNTER_COUNT;
    memcpy(e->base_counters, p + sizeof r, known * 8u);
    in->services = tb_grow(in->services, in->service_count, &in->service_space, sizeof *in->services);
    in->services[in->service_count++] = e;
    return 0;
}

static int read_series(struct reading *in, const char *p, size_t len)
{
    struct series_record r;
    if (len < sizeof r)
        return -EBADMSG;
    memcpy(&r, p, sizeof r);
    const uint64_t *bounds;
    size_t strings = (size_t)r.route_len + r.target_len + r.ext_len;
    if (r.service >= in->service_count || r.cells > CELLS_MAX ||
        len != sizeof r + r.cells * sizeof(struct cell_record) + strings)
        return -EBADMSG;
    if (tb_histogram_bounds(r.bound_set, &bounds) == 0)
        return -EPROTONOSUPPORT;
    const char *cells = p + sizeof r, *text = cells + r.cells * sizeof(struct cell_record);
    char *route = tb_strndup(text, r.route_len), *target = tb_strndup(text + r.route_len, r.target_len);
    char *ext = tb_strndup(text + r.route_len + r.target_len, r.ext_len);
    struct tb_snap_key key = {r.family, r.role, r.method, r.bound_set, r.status, route, target, ext};
    struct tb_snap_series *e = tb_snapshot_series(in->snapshot, in->services[r.service], &key);
    free(route);
    free(target);
    free(ext);
    if (!e)
        return 0; /* over its user's quota */
    struct tb_snap_values v = {r.sum_ns, r.first_byte_ns, r.rx_bytes, r.tx_bytes, r.incomplete, r.untimed, NULL};
    for (uint32_t i = 0; i < r.cells; i++) {
        struct cell_record cell;
        memcpy(&cell, cells + i * sizeof cell, sizeof cell);
        *tb_values_cell(&v, r.bound_set, cell.upper_ns) += cell.count;
    }
    tb_values_add(&e->base, &v);
    tb_values_free(&v);
    e->created_ns = r.created_ns;
    return 0;
}

static int read_owner(struct reading *in, const char *p, size_t len)
{
    struct owner_record r;
    if (len != sizeof r)
        return -EBADMSG;
    memcpy(&r, p, sizeof r);
    if (r.service >= in->service_count)
        return -EBADMSG;
    tb_service_give(in->services[r.service], tb_snapshot_user(in->snapshot, r.uid));
    return 0;
}

static int read_mark(struct reading *in, const char *p, size_t len)
{
    struct mark_record r;
    if (len != sizeof r)
        return -EBADMSG;
    memcpy(&r, p, sizeof r);
    if (r.service >= in->service_count || r.kind < TB_MARK_SERVED || r.kind > TB_MARK_LOST)
        return -EBADMSG;
    struct tb_mark *m = tb_ledger_mark(in->ledger, r.uid, r.region_id, r.generation, (enum tb_mark_kind)r.kind,
                                       in->services[r.service], r.when_ns);
    memcpy(m->boot_id, r.boot_id, sizeof m->boot_id);
    return 0;
}

/* Is the whole file sound? Only then is anything of it used. */
static int check_file(const char *bytes, size_t len, struct file_header *ret)
{
    struct file_header h;
    if (len < sizeof h)
        return -EBADMSG;
    memcpy(&h, bytes, sizeof h);
    if (h.magic != LEDGER_MAGIC)
        return -EBADMSG;
    if (h.version > LEDGER_VERSION)
        return -EPROTONOSUPPORT;
    if (h.length != len - sizeof h || h.checksum != checksum(bytes + sizeof h, len - sizeof h))
        return -EBADMSG;
    *ret = h;
    return 0;
}

static int read_records(struct reading *in, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        struct record_head head;
        if (len - at < sizeof head)
            return -EBADMSG;
        memcpy(&head, bytes + at, sizeof head);
        at += sizeof head;
        size_t padded = ((size_t)head.length + 7) & ~(size_t)7;
        if (padded > len - at)
            return -EBADMSG;
        int r = 0;
        if (head.type == RECORD_SERVICE)
            r = read_service(in, bytes + at, head.length);
        else if (head.type == RECORD_SERIES)
            r = read_series(in, bytes + at, head.length);
        else if (head.type == RECORD_MARK)
            r = read_mark(in, bytes + at, head.length);
        else if (head.type == RECORD_OWNER)
            r = read_owner(in, bytes + at, head.length);
        if (r)
            return r;
        at += padded;
    }
    return 0;
}

/* All bases 0; marks gone but those of regions that this reader served itself and the writer may not know yet. */
static void clear(struct tb_ledger *l, struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->series_count; i++)
        tb_values_zero(&s->series[i]->base);
    for (size_t i = 0; i < s->service_count; i++)
        memset(s->services[i]->base_counters, 0, sizeof s->services[i]->base_counters);
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (struct tb_mark **at = &l->marks[i], *m; (m = *at);) {
            if (m->kind == TB_MARK_SERVED) {
                at = &m->next;
                continue;
            }
            *at = m->next;
            free(m);
            l->mark_count--;
        }
    }
}

static void move_aside(struct tb_ledger *l)
{
    char name[64];
    snprintf(name, sizeof name, "ledger.damaged-%llu", (unsigned long long)l->seen.st_mtim.tv_sec);
    l->corrupt++;
    if (l->lock_fd >= 0 && renameat(l->dir_fd, "ledger", l->dir_fd, name) == 0) {
        l->seen = (struct stat){0};
        tb_log(TB_LOG_ERROR, "ledger damaged: moved aside, all folded totals restart at 0", "path", l->dir, "kept_as",
               name, NULL);
    }
}

static int load_bytes(struct tb_ledger *l, struct tb_snapshot *s, const char *bytes, size_t len)
{
    struct file_header h;
    int r = check_file(bytes, len, &h);
    if (r)
        return r;
    struct reading in = {.ledger = l, .snapshot = s};
    r = read_records(&in, bytes + sizeof h, h.length);
    free(in.services);
    if (!r)
        l->sequence = h.sequence;
    return r;
}

int tb_ledger_load(struct tb_ledger *l, struct tb_snapshot *s)
{
    int fd = l->dir_fd < 0 ? -1 : openat(l->dir_fd, "ledger", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        int r = l->dir_fd < 0 || errno == ENOENT ? 0 : -errno;
        if (!r) {
            clear(l, s);
            l->is_loaded = true;
            l->is_dirty = false;
            l->seen = (struct stat){0};
        }
        return r;
    }
    int r = 0;
    void *bytes = MAP_FAILED;
    struct stat st;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > LEDGER_BYTES_MAX)
        r = -EBADMSG;
    else if ((bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        r = -errno;
    close(fd);
    if (!r || r == -EBADMSG)
        l->seen = st;
    if (!r) {
        clear(l, s);
        r = load_bytes(l, s, bytes, (size_t)st.st_size);
        munmap(bytes, (size_t)st.st_size);
    }
    if (r == -EBADMSG) {
        clear(l, s);
        move_aside(l);
    }
    l->is_loaded = r == 0 || r == -EBADMSG;
    l->is_dirty = r == -EBADMSG;
    return r;
}
