/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a region is, wherever its bytes lie: format it, validate it, find its sections, point a core at it. Pure
 * functions of memory, no system calls; files are region_file.c, pages are region_memory.c, processes are owner.c.
 */
#include "region.h"
#include "bound_sets.h"
#include "measures.h"
#include "region_private.h"

#include <errno.h>

/* The sections of a default region; the writer of this version works on no other. */
static const struct tb_section default_sections[] = {
    {TB_SEC_COUNTERS, 1, TB_OFF_COUNTERS, TB_LEN_COUNTERS}, {TB_SEC_OWNERS, 1, TB_OFF_OWNERS, TB_LEN_OWNERS},
    {TB_SEC_INFLIGHT, 1, TB_OFF_INFLIGHT, TB_LEN_INFLIGHT}, {TB_SEC_RULES, 1, TB_OFF_RULES, TB_LEN_RULES},
    {TB_SEC_INDEX, 1, TB_OFF_INDEX, TB_LEN_INDEX},          {TB_SEC_STRINGS, 1, TB_OFF_STRINGS, TB_LEN_STRINGS},
    {TB_SEC_SERIES, 1, TB_OFF_SERIES, TB_LEN_SERIES},       {TB_SEC_LEARNER, 1, TB_OFF_LEARNER, TB_LEN_LEARNER},
    {TB_SEC_CELLS, 1, TB_OFF_CELLS, TB_LEN_CELLS},
};
#define SECTIONS (sizeof(default_sections) / sizeof(default_sections[0]))
_Static_assert(SECTIONS <= TB_SECTIONS_MAX, "the table in the header");

/* Copies at most @size - 1 bytes of @from (NULL: none) and zeroes the rest. */
static void set_text(char *to, size_t size, const char *from)
{
    size_t len = from ? tb_strnlen(from, size - 1) : 0;
    tb_copy(to, from, len);
    tb_zero(to + len, size - len);
}

void tb_region_set_identity(struct tb_region_header *header, const struct tb_identity *id)
{
    set_text(header->agent_version, sizeof(header->agent_version), id->version);
    set_text(header->host, sizeof(header->host), id->host);
    set_text(header->service, sizeof(header->service), id->service);
    set_text(header->program, sizeof(header->program), id->program);
    set_text(header->labels, sizeof(header->labels), id->labels);
    header->command_hash = id->command_hash;
    header->pidns_inode = id->pidns_inode;
    header->series_limit = id->series_limit && id->series_limit < TB_SERIES_LIMIT ? id->series_limit : TB_SERIES_LIMIT;
}

bool tb_region_is_service(const struct tb_region_header *header, const char *service)
{
    size_t len = tb_strnlen(service, sizeof(header->service) - 1);
    return tb_equal(header->service, service, len) && header->service[len] == 0;
}

/* A published string at a fixed reference. Not in the index: nobody interns these texts. */
static void put_string(uint8_t *strings, uint32_t ref, const char *text)
{
    struct tb_string *s = (struct tb_string *)(void *)(strings + ref);
    struct tb_bytes bytes = tb_bytes_str(text);
    s->len = (uint16_t)bytes.len;
    tb_copy(s->bytes, bytes.ptr, bytes.len);
    s->state = TB_SLOT_PUBLISHED;
}

void tb_region_format(void *base, const struct tb_identity *id, uint64_t region_id, uint64_t realtime_ns)
{
    struct tb_region_header *header = base;
    header->magic = TB_LAYOUT_MAGIC;
    header->layout_version = TB_LAYOUT_VERSION;
    header->header_size = sizeof(*header);
    header->section_count = SECTIONS;
    header->generation = 1;
    header->region_id = region_id;
    header->file_size = TB_REGION_BYTES;
    header->created_ns = realtime_ns;
    header->adopted_ns = realtime_ns;
    tb_region_set_identity(header, id);
    for (size_t i = 0; i < SECTIONS; i++)
        header->sections[i] = default_sections[i];

    uint8_t *strings = (uint8_t *)base + TB_OFF_STRINGS;
    put_string(strings, TB_STR_OTHER, "_other");
    put_string(strings, TB_STR_UNMATCHED, "_unmatched");
    ((struct tb_strings_head *)(void *)strings)->used = TB_STR_FREE;
    header->state = TB_REGION_LIVE;
}

static bool texts_end(const struct tb_region_header *h)
{
    return !h->agent_version[sizeof(h->agent_version) - 1] && !h->host[sizeof(h->host) - 1] &&
           !h->service[sizeof(h->service) - 1] && !h->program[sizeof(h->program) - 1] &&
           !h->labels[sizeof(h->labels) - 1];
}

/* Behind the header, inside the file, on page boundaries, none over another. */
static bool sections_fit(const struct tb_region_header *h, size_t len)
{
    for (uint32_t i = 0; i < h->section_count; i++) {
        const struct tb_section *a = &h->sections[i];
        if (a->offset % TB_PAGE || a->offset < TB_PAGE || a->offset > len || a->reserved > len - a->offset)
            return false;
        for (uint32_t k = 0; k < i; k++) {
            const struct tb_section *b = &h->sections[k];
            if (a->offset < b->offset + b->reserved && b->offset < a->offset + a->reserved)
                return false;
        }
    }
    return true;
}

/* The sections that every reader of version 1 relies on are there and large enough for what the header says. */
static bool sections_suffice(const struct tb_region_header *h)
{
    static const uint32_t wanted[][2] = {
        {TB_SEC_COUNTERS, TB_SHARDS * TB_COUNTERS_MAX * 8},
        {TB_SEC_OWNERS, sizeof(struct tb_owner)},
        {TB_SEC_INFLIGHT, 0},
        {TB_SEC_RULES, sizeof(struct tb_rules_head)},
        {TB_SEC_INDEX, 0},
        {TB_SEC_STRINGS, TB_STR_FREE},
        {TB_SEC_SERIES, 0},
        {TB_SEC_CELLS, TB_PAGE},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        uint64_t offset, len;
        if (tb_region_section(h, wanted[i][0], &offset, &len) || len < wanted[i][1])
            return false;
        if (wanted[i][0] == TB_SEC_SERIES && h->series_used > len / sizeof(struct tb_series))
            return false;
        if (wanted[i][0] == TB_SEC_CELLS && h->cells_used > len)
            return false;
    }
    return true;
}

int tb_region_validate(const struct tb_region_header *header, size_t len)
{
    if (len < TB_PAGE || header->magic != TB_LAYOUT_MAGIC)
        return -EPROTO;
    if (header->layout_version > TB_LAYOUT_VERSION)
        return -EPROTONOSUPPORT;
    if (header->layout_version != TB_LAYOUT_VERSION || header->header_size < TB_HEADER_SIZE_MIN ||
        header->header_size > sizeof(*header) || header->file_size != len || header->section_count > TB_SECTIONS_MAX ||
        header->state > TB_REGION_FREE || header->series_used > TB_SERIES_MAX || header->series_limit > TB_SERIES_MAX ||
        !texts_end(header) || !sections_fit(header, len) || !sections_suffice(header))
        return -EINVAL;
    return 0;
}

int tb_region_section(const struct tb_region_header *header, uint32_t type, uint64_t *ret_offset, uint64_t *ret_len)
{
    for (uint32_t i = 0; i < header->section_count && i < TB_SECTIONS_MAX; i++)
        if (header->sections[i].type == type) {
            *ret_offset = header->sections[i].offset;
            *ret_len = header->sections[i].reserved;
            return 0;
        }
    return -ENOENT;
}

bool tb_region_is_default(const struct tb_region_header *header)
{
    if (header->section_count != SECTIONS || header->file_size != TB_REGION_BYTES)
        return false;
    for (size_t i = 0; i < SECTIONS; i++) {
        const struct tb_section *a = &header->sections[i], *b = &default_sections[i];
        if (a->type != b->type || a->version != b->version || a->offset != b->offset || a->reserved != b->reserved)
            return false;
    }
    return true;
}

void tb_region_attach(struct tb_core *core, void *base)
{
    uint8_t *b = base;
    core->header = base;
    core->counters = (uint64_t *)(void *)(b + TB_OFF_COUNTERS);
    core->owners = (struct tb_owner *)(void *)(b + TB_OFF_OWNERS);
    core->inflight = (struct tb_inflight *)(void *)(b + TB_OFF_INFLIGHT);
    core->rules = (struct tb_rules_head *)(void *)(b + TB_OFF_RULES);
    core->index = (uint16_t *)(void *)(b + TB_OFF_INDEX);
    core->strings = b + TB_OFF_STRINGS;
    core->series = (struct tb_series *)(void *)(b + TB_OFF_SERIES);
    core->learner = b + TB_OFF_LEARNER;
    core->cells = b + TB_OFF_CELLS;
    tb_bound_sets_init(core);
    core->ready_index = NULL;
    core->route_head = core->kept_head = NULL;
    core->rules_word = 0;
    core->rules_view = NULL;
    core->owner = NULL;
    tb_measures_use(core, NULL, 0);
    /* release: another thread that sees the region sees its sections */
    tb_store_release(&core->base, b);
}

int tb_region_bind(struct tb_core *core, void *base, size_t len)
{
    if (tb_region_validate(base, len) || !tb_region_is_default(base))
        return -EINVAL;
    for (size_t i = 0; i < sizeof(core->reserved_pages) / sizeof(core->reserved_pages[0]); i++)
        core->reserved_pages[i] = ~UINT64_C(0);
    tb_region_attach(core, base);
    return 0;
}

void tb_core_forked(struct tb_core *core, uint32_t pid)
{
    core->env.pid = pid;
    core->birth_generation = ++core->fork_generation;
    core->owner = NULL;
    core->ready_index = NULL;
    core->rules_adopting = 0; /* by a thread that is not here */
    tb_names_forked(&core->names);
}
