/* SPDX-License-Identifier: Apache-2.0 */
/* Text files of a folder (inlet_files.h). */
#include "inlet_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "boot.h"
#include "config.h"
#include "file_look.h"
#include "inlet_text.h"
#include "log.h"
#include "snapshot_labels.h"

#define ENTRIES_MAX 10000u /* of a folder; what is behind them is not seen */

struct file {
    char *name; /* owned */
    uint64_t look;
    uint64_t mtime_ns;
    bool is_refused;
};

struct listing {
    struct file *files;
    size_t count, space;
};

struct tb_inlet_files {
    const struct tb_inlet_config *config;
    struct listing last; /* by name */
    int error;           /* of the folder, 0 = none */
    bool has_read;
};

static void free_listing(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->files[i].name);
    free(l->files);
    *l = (struct listing){0};
}

struct tb_inlet_files *tb_inlet_files_new(const struct tb_inlet_config *c)
{
    struct tb_inlet_files *f = tb_alloc(sizeof *f);
    f->config = c;
    return f;
}

void tb_inlet_files_free(struct tb_inlet_files *f)
{
    if (!f)
        return;
    free_listing(&f->last);
    free(f);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static bool is_prom(const char *name)
{
    const size_t len = strlen(name);
    return *name != '.' && len > 5 && strcmp(name + len - 5, ".prom") == 0;
}

static char *path_of(const struct tb_inlet_files *f, const char *name)
{
    return tb_format("%s/%s", f->config->folder, name);
}

static void add_file(const struct tb_inlet_files *f, struct listing *to, const char *name)
{
    struct stat st;
    char *path = path_of(f, name);
    struct file new = {.name = tb_strndup(name, strlen(name)), .look = tb_file_look(path, 0)};
    if (stat(path, &st) == 0)
        new.mtime_ns = (uint64_t)st.st_mtim.tv_sec *UINT64_C(1000000000) + (uint64_t)st.st_mtim.tv_nsec;
    free(path);
    to->files = tb_grow(to->files, to->count, &to->space, sizeof *to->files);
    to->files[to->count++] = new;
}

/* The files that are there now. Returns 0 or an errno. */
static int list(const struct tb_inlet_files *f, struct listing *ret)
{
    DIR *dir = opendir(f->config->folder);
    struct dirent *entry;
    if (!dir)
        return errno;
    for (size_t i = 0; i < ENTRIES_MAX && (entry = readdir(dir)); i++)
        if (is_prom(entry->d_name))
            add_file(f, ret, entry->d_name);
    closedir(dir);
    if (ret->count)
        qsort(ret->files, ret->count, sizeof *ret->files, by_name);
    return 0;
}

static bool is_same(const struct listing *a, const struct listing *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->files[i].look != b->files[i].look || strcmp(a->files[i].name, b->files[i].name) != 0)
            return false;
    return true;
}

/* Was @file read before, as it is now? */
static bool was_read(const struct listing *before, const struct file *file)
{
    const struct file *same = before->count ? bsearch(file, before->files, before->count, sizeof *file, by_name) : NULL;
    return same && same->look == file->look;
}

static void refuse(const struct tb_inlet_files *f, struct file *file, bool is_new, const struct tb_inlet_fault *fault,
                   struct tb_inlet_stats *stats)
{
    char line[24];
    file->is_refused = true;
    if (!is_new)
        return;
    stats->refused[fault->reason]++;
    snprintf(line, sizeof line, "%zu", fault->line);
    tb_log(TB_LOG_WARN, "inlet refused a file: nothing of it is shown", "inlet", f->config->name, "file", file->name,
           "line", line, "reason", tb_inlet_reason(fault->reason), NULL);
}

static void read_file(const struct tb_inlet_files *f, struct file *file, bool is_new, struct tb_inlet_set *set,
                      struct tb_inlet_stats *stats)
{
    char *path = path_of(f, file->name);
    size_t len = 0, lines = 0;
    struct tb_inlet_set own = {0};
    struct tb_inlet_fault fault = {0, TB_INLET_UNREADABLE};
    char *text = tb_read_whole(path, TB_INLET_FILE_BYTES, &len);
    if (!text)
        fault.reason = errno == EFBIG ? TB_INLET_LIMIT : TB_INLET_UNREADABLE;
    bool is_good = text && tb_inlet_text(text, len, &own, &lines, &fault);
    if (is_good) {
        fault.line = 0;
        is_good = tb_inlet_set_merge(set, &own, &fault.reason);
    }
    if (!is_good)
        refuse(f, file, is_new, &fault, stats);
    else if (is_new)
        stats->accepted += lines;
    tb_inlet_set_free(&own);
    free(text);
    free(path);
}

static void read_all(const struct tb_inlet_files *f, struct listing *now, struct tb_inlet_set *set,
                     struct tb_inlet_stats *stats)
{
    const struct tb_inlet_fault too_many = {0, TB_INLET_LIMIT};
    tb_inlet_set_free(set);
    for (size_t i = 0; i < now->count; i++) {
        struct file *file = &now->files[i];
        const bool is_new = !was_read(&f->last, file);
        if (i < TB_INLET_FILES_MAX)
            read_file(f, file, is_new, set, stats);
        else
            refuse(f, file, is_new, &too_many, stats);
    }
}

static bool is_well(const struct tb_inlet_files *f)
{
    for (size_t i = 0; i < f->last.count; i++)
        if (f->last.files[i].is_refused)
            return false;
    return !f->error;
}

bool tb_inlet_files_read(struct tb_inlet_files *f, struct tb_inlet_set *set, struct tb_inlet_stats *stats)
{
    struct listing now = {0};
    const int error = list(f, &now), before = f->error;
    const bool is_changed = !f->has_read || error != before || !is_same(&f->last, &now);
    f->error = error;
    if (error && error != before) {
        stats->refused[TB_INLET_UNREADABLE]++;
        tb_log(TB_LOG_WARN, "inlet cannot read its folder: nothing of it is shown", "inlet", f->config->name, "path",
               f->config->folder, "error", strerror(error), NULL);
    }
    if (is_changed) {
        f->has_read = true;
        read_all(f, &now, set, stats);
        free_listing(&f->last);
        f->last = now;
    } else {
        free_listing(&now);
    }
    if (is_well(f))
        stats->success_ns = tb_clock_ns(CLOCK_REALTIME);
    return is_changed;
}

void tb_inlet_files_expose(struct tb_exposition *x, const struct tb_inlet_files *f)
{
    struct tb_buffer labels = {0};
    for (size_t i = 0; i < f->last.count && i < TB_INLET_FILES_MAX; i++) {
        char *name = tb_label_clean(f->last.files[i].name, strlen(f->last.files[i].name));
        labels.len = 0;
        tb_put_label(&labels, "inlet", f->config->name);
        tb_put_label(&labels, "file", name);
        tb_expose_value(x, (struct tb_labels){.text = labels.data, .len = labels.len}, f->last.files[i].mtime_ns, 0);
        free(name);
    }
    tb_buffer_free(&labels);
}
