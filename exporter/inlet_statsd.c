/* SPDX-License-Identifier: Apache-2.0 */
/* What StatsD lines add up to (inlet_statsd.h). The socket is inlet_socket.c's. */
#include "inlet_statsd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "boot.h"
#include "checksum.h"
#include "inlet_socket.h"
#include "inlet_statsd_line.h"
#include "inlet_text.h"

#define PLACES 4096u        /* of the table; a power of 2 */
#define VALUES_MAX 10000u   /* different ones of a set in a minute; more are not counted */
#define VALUE_PLACES 16384u /* a power of 2, above that */
#define WINDOW_NS UINT64_C(60000000000)
#define DATAGRAM_MAX 65536u
#define DATAGRAM_COST 64u /* bytes that receiving one counts as, beside its own */

/* The different values of a set within a minute, as hashes. */
struct distinct {
    uint64_t *hashes; /* owned, VALUE_PLACES; 0 = free */
    size_t count;
};

/* A sample of the set, by its name and labels. */
struct series {
    struct series *next; /* of its place */
    size_t family, sample;
    struct distinct *distinct; /* owned; NULL: it is no set */
    char key[];                /* `name{labels` */
};

struct tb_statsd {
    const struct tb_inlet_config *config;
    struct tb_inlet_set *set;
    struct tb_inlet_stats *stats;
    struct series *places[PLACES];
    int fd;
    bool has_failed, has_distinct;
    uint64_t window_ns; /* when the present one began */
    char datagram[DATAGRAM_MAX + 1];
};

struct tb_statsd *tb_statsd_new(const struct tb_inlet_config *c, struct tb_inlet_set *set, struct tb_inlet_stats *stats)
{
    struct tb_statsd *s = tb_alloc(sizeof *s);
    s->config = c;
    s->set = set;
    s->stats = stats;
    s->fd = -1;
    return s;
}

void tb_statsd_free(struct tb_statsd *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        tb_inlet_socket_close(s->fd, s->config);
    for (size_t i = 0; i < PLACES; i++)
        for (struct series *e = s->places[i], *next; e; e = next) {
            next = e->next;
            if (e->distinct)
                free(e->distinct->hashes);
            free(e->distinct);
            free(e);
        }
    free(s);
}

int tb_statsd_fd(struct tb_statsd *s)
{
    if (s->fd < 0) {
        s->fd = tb_inlet_socket_open(s->config, !s->has_failed);
        s->stats->refused[TB_INLET_UNREADABLE] += s->fd < 0 && !s->has_failed;
        s->has_failed = s->fd < 0;
    }
    return s->fd;
}

/* --- series ----------------------------------------------------------------------------------------------------------
 */

static struct tb_inlet_sample *sample_of(const struct tb_statsd *s, const struct series *e)
{
    return &s->set->families[e->family].samples[e->sample];
}

static void make_buckets(const struct tb_statsd *s, struct tb_inlet_sample *to)
{
    to->bound_count = s->config->bound_count;
    to->bounds = tb_alloc((to->bound_count + 1) * sizeof *to->bounds);
    to->buckets = tb_alloc((to->bound_count + 1) * sizeof *to->buckets);
    for (size_t i = 0; i < to->bound_count; i++)
        to->bounds[i] = tb_real_bits(s->config->bounds[i]);
}

/* A sample that is not there yet; takes over the labels. NULL: there are too many, or its name is of another type. */
static struct series *new_series(struct tb_statsd *s, struct tb_statsd_line *l, struct series **place, const char *key,
                                 size_t key_len, enum tb_inlet_reason *ret_reason)
{
    static const enum tb_metric_type types[] = {TB_METRIC_COUNTER, TB_METRIC_GAUGE, TB_METRIC_HISTOGRAM,
                                                TB_METRIC_HISTOGRAM, TB_METRIC_GAUGE};
    static const char *const helps[] = {"Counter from StatsD.", "Gauge from StatsD.", "Timer from StatsD.",
                                        "Histogram from StatsD.", "Different values from StatsD, by the minute."};
    struct tb_inlet_family *f = tb_inlet_set_find(s->set, l->name);
    *ret_reason = TB_INLET_TYPE;
    if (f && strcmp(f->help, helps[l->type]) != 0)
        return NULL;
    *ret_reason = TB_INLET_LIMIT;
    if (s->set->samples == TB_INLET_SAMPLES_MAX || (!f && s->set->count == TB_INLET_FAMILIES_MAX))
        return NULL;
    f = f ? f : tb_inlet_set_add(s->set, l->name, helps[l->type], types[l->type]);
    struct series *e = tb_alloc(sizeof *e + key_len);
    memcpy(e->key, key, key_len);
    e->family = (size_t)(f - s->set->families);
    e->sample = f->count;
    e->distinct = l->type == TB_STATSD_SET ? tb_alloc(sizeof *e->distinct) : NULL;
    s->has_distinct |= l->type == TB_STATSD_SET;
    struct tb_inlet_sample *to = tb_inlet_family_add(s->set, f, l->labels);
    l->labels = NULL;
    if (f->type == TB_METRIC_HISTOGRAM)
        make_buckets(s, to);
    e->next = *place;
    return *place = e;
}

static struct series *find_series(struct tb_statsd *s, struct tb_statsd_line *l, bool *ret_is_new,
                                  enum tb_inlet_reason *ret_reason)
{
    char *key = tb_format("%s{%s{%d", l->name, l->labels, l->type);
    const size_t len = strlen(key) + 1;
    struct series **place = &s->places[tb_checksum(key, len) & (PLACES - 1)], *e = *place;
    while (e && strcmp(e->key, key) != 0)
        e = e->next;
    *ret_is_new = !e;
    if (!e)
        e = new_series(s, l, place, key, len, ret_reason);
    *ret_is_new &= e != NULL;
    free(key);
    return e;
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

static void observe(struct tb_inlet_sample *to, double value, double rate)
{
    const uint64_t weight = (uint64_t)llround(1 / rate);
    size_t bucket = 0;
    while (bucket < to->bound_count && value > tb_bits_real(to->bounds[bucket]))
        bucket++;
    to->buckets[bucket] += weight;
    to->value += value * (double)weight;
}

static void note_value(struct distinct *d, const char *value)
{
    const uint64_t sum = tb_checksum(value, strlen(value)), hash = sum ? sum : 1;
    if (!d->hashes)
        d->hashes = tb_alloc(VALUE_PLACES * sizeof *d->hashes);
    size_t at = (size_t)(hash & (VALUE_PLACES - 1));
    while (d->hashes[at] && d->hashes[at] != hash)
        at = (at + 1) & (VALUE_PLACES - 1);
    if (!d->hashes[at] && d->count < VALUES_MAX) {
        d->hashes[at] = hash;
        d->count++;
    }
}

/* Can all values of the line be taken? Nothing of one that cannot is. */
static bool are_numbers(const struct tb_statsd_line *l)
{
    char *copy = tb_strndup(l->values, strlen(l->values)), *rest = copy, *text;
    bool is_good = true;
    double value = 0;
    while (is_good && (text = strsep(&rest, ":")))
        is_good = tb_inlet_real(text, &value) && isfinite(value) && (l->type != TB_STATSD_COUNTER || value >= 0);
    free(copy);
    return is_good;
}

static void take_values(struct tb_statsd *s, const struct series *e, struct tb_statsd_line *l)
{
    struct tb_inlet_sample *to = sample_of(s, e);
    double value = 0;
    for (char *text; (text = tb_statsd_value(l));) {
        if (l->type != TB_STATSD_SET)
            (void)tb_inlet_real(text, &value); /* it was looked at */
        switch (l->type) {
        case TB_STATSD_COUNTER:
            to->value += value / l->rate;
            break;
        case TB_STATSD_GAUGE:
            to->value = *text == '+' || *text == '-' ? to->value + value : value;
            break;
        case TB_STATSD_TIMER:
            observe(to, value / 1000, l->rate);
            break;
        case TB_STATSD_HISTOGRAM:
            observe(to, value, l->rate);
            break;
        case TB_STATSD_SET:
            if (e->distinct)
                note_value(e->distinct, text);
            break;
        }
    }
}

/* One line. Returns whether it is the first of its series. */
static bool add_line(struct tb_statsd *s, char *line)
{
    struct tb_statsd_line l;
    enum tb_inlet_reason reason;
    bool is_new = false;
    if (!tb_statsd_read(line, &l, &reason)) {
        s->stats->refused[reason]++;
        return false;
    }
    const struct series *e = NULL;
    reason = TB_INLET_VALUE;
    if (l.type == TB_STATSD_SET || are_numbers(&l))
        e = find_series(s, &l, &is_new, &reason);
    if (e)
        take_values(s, e, &l);
    s->stats->accepted += e != NULL;
    s->stats->refused[reason] += !e;
    free(l.labels);
    return is_new;
}

bool tb_statsd_add(struct tb_statsd *s, char *datagram, size_t len)
{
    bool is_changed = false;
    datagram[len] = 0;
    for (char *line, *rest = datagram; (line = strsep(&rest, "\n"));) {
        const size_t taken = strlen(line);
        if (rest ? line + taken + 1 != rest : line + taken != datagram + len) { /* a NUL ends it before its end */
            s->stats->refused[TB_INLET_SYNTAX]++;
            break;
        }
        if (taken > TB_STATSD_LINE_MAX)
            s->stats->refused[TB_INLET_LIMIT]++;
        else if (taken)
            is_changed |= add_line(s, line);
    }
    return is_changed;
}

bool tb_statsd_take(struct tb_statsd *s, size_t most)
{
    bool is_changed = false;
    for (size_t taken = 0; s->fd >= 0 && taken < most; taken += DATAGRAM_COST) {
        ssize_t n = recv(s->fd, s->datagram, DATAGRAM_MAX, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0)
            break;
        if ((size_t)n > DATAGRAM_MAX) {
            s->stats->refused[TB_INLET_LIMIT]++;
            continue;
        }
        taken += (size_t)n;
        is_changed |= tb_statsd_add(s, s->datagram, (size_t)n);
        s->stats->success_ns = tb_clock_ns(CLOCK_REALTIME);
    }
    return is_changed;
}

/* What is shown is the minute that has ended; in the first one, what came so far. */
static void show_distinct(struct tb_statsd *s, struct series *e, uint64_t ended)
{
    struct distinct *d = e->distinct;
    struct tb_inlet_sample *to = sample_of(s, e);
    if (!ended) {
        if (to->count == 0) /* of a gauge: has a minute ended? */
            to->value = (double)d->count;
        return;
    }
    to->count = 1;
    to->value = ended == 1 ? (double)d->count : 0;
    free(d->hashes);
    *d = (struct distinct){0};
}

void tb_statsd_tick(struct tb_statsd *s, uint64_t now_ns)
{
    s->window_ns = s->window_ns ? s->window_ns : now_ns;
    const uint64_t ended = (now_ns - s->window_ns) / WINDOW_NS;
    s->window_ns += ended * WINDOW_NS;
    for (size_t i = 0; s->has_distinct && i < PLACES; i++)
        for (struct series *e = s->places[i]; e; e = e->next)
            if (e->distinct)
                show_distinct(s, e, ended);
}
