/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's file: read as a whole or not at all; written to a new file, fsync, rename, so that it is always a whole
 * one. Its bytes are ledger_format.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "checksum.h"
#include "ledger_format.h"
#include "log.h"
#include "users.h"

#define LEDGER_BYTES_MAX ((off_t)1 << 30)

/* --- writing ---------------------------------------------------------------------------------------------------------
 */

static int write_file(struct tb_ledger *l, const struct tb_buffer *b)
{
    /* Always a file of its own: what is there is a dead writer's, or put there to be written over by root. */
    unlinkat(l->dir_fd, "ledger.new", 0);
    int fd = openat(l->dir_fd, "ledger.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    tb_step("ledger-created");
    int r = tb_write_all(fd, b->data, b->len);
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
    tb_ledger_write_records(&b, l, s);
    h.length = b.len - sizeof h;
    h.checksum = tb_checksum(b.data + sizeof h, h.length);
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
    uint16_t *bounds; /* by their number in the file */
    size_t bounds_count, bounds_space;
    struct tb_snap_series *last; /* what RECORD_CHOSEN is about; NULL = nothing */
};

static int read_bounds(struct reading *in, const char *p, size_t len)
{
    struct bounds_record r;
    uint64_t at_most[TB_BOUNDS_MAX];
    if (len < sizeof r)
        return -EBADMSG;
    memcpy(&r, p, sizeof r);
    if (r.unit >= TB_UNITS || r.count > TB_BOUNDS_MAX)
        return -EPROTONOSUPPORT;
    if (len != sizeof r + r.count * sizeof *at_most)
        return -EBADMSG;
    memcpy(at_most, p + sizeof r, r.count * sizeof *at_most);
    int number = tb_bounds_intern(&(struct tb_bounds){(uint8_t)r.unit, (uint8_t)r.count, at_most});
    if (number < 0)
        return -EBADMSG;
    in->bounds = tb_grow(in->bounds, in->bounds_count, &in->bounds_space, sizeof *in->bounds);
    in->bounds[in->bounds_count++] = (uint16_t)number;
    return 0;
}

/* The set of a series; -1: one of a later version, -2: one that the file does not have. */
static int bound_set_of(const struct reading *in, const struct series_record *r)
{
    if (r->bound_set > TB_SET_FIRST)
        return -1;
    if (r->bound_set < TB_SET_FIRST)
        return r->bound_set;
    return r->bounds < in->bounds_count ? in->bounds[r->bounds] : -2;
}

static int read_chosen(struct reading *in, const char *p, size_t len)
{
    struct chosen_record r;
    if (len != sizeof r)
        return -EBADMSG;
    memcpy(&r, p, sizeof r);
    if (in->last) {
        in->last->base.retired += r.retired;
        in->last->base_chosen_ns = r.chosen_ns;
    }
    return 0;
}

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
    size_t strings = (size_t)r.route_len + r.target_len + r.ext_len;
    if (r.service >= in->service_count || r.cells > CELLS_MAX ||
        len != sizeof r + r.cells * sizeof(struct cell_record) + strings)
        return -EBADMSG;
    int bound_set = bound_set_of(in, &r);
    if (bound_set < 0)
        return bound_set == -1 ? -EPROTONOSUPPORT : -EBADMSG;
    const char *cells = p + sizeof r, *text = cells + r.cells * sizeof(struct cell_record);
    char *route = tb_strndup(text, r.route_len), *target = tb_strndup(text + r.route_len, r.target_len);
    char *ext = tb_strndup(text + r.route_len + r.target_len, r.ext_len);
    struct tb_snap_key key = {r.family, r.role, r.method, (uint16_t)bound_set, r.status, route, target, ext};
    struct tb_snap_series *e = tb_snapshot_series(in->snapshot, in->services[r.service], &key);
    in->last = e;
    free(route);
    free(target);
    free(ext);
    if (!e)
        return 0; /* over its user's quota */
    struct tb_snap_values v = {.sum_ns = r.sum_ns,
                               .first_byte_ns = r.first_byte_ns,
                               .rx_bytes = r.rx_bytes,
                               .tx_bytes = r.tx_bytes,
                               .incomplete = r.incomplete,
                               .untimed = r.untimed};
    for (uint32_t i = 0; i < r.cells; i++) {
        struct cell_record cell;
        memcpy(&cell, cells + i * sizeof cell, sizeof cell);
        *tb_values_cell(&v, key.bound_set, cell.upper_ns) += cell.count;
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
    if (h.length != len - sizeof h || h.checksum != tb_checksum(bytes + sizeof h, len - sizeof h))
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
        else if (head.type == RECORD_BOUNDS)
            r = read_bounds(in, bytes + at, head.length);
        else if (head.type == RECORD_CHOSEN)
            r = read_chosen(in, bytes + at, head.length);
        if (r)
            return r;
        at += padded;
    }
    return 0;
}

/* All bases 0; marks gone but those of regions that this reader served itself and the writer may not know yet. */
static void clear(struct tb_ledger *l, struct tb_snapshot *s)
{
    for (size_t i = 0; i < s->series_count; i++) {
        tb_values_zero(&s->series[i]->base);
        s->series[i]->base_chosen_ns = 0;
    }
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
    free(in.bounds);
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
