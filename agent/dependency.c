/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets and what became of calls to them (dependency.h). The number of targets is shared by all processes of the
 * service: it stands in the head of the rules area.
 */
#include "dependency.h"
#include "host.h"
#include "measures.h"
#include "rules.h"
#include "series.h"
#include "syscalls.h"

#define TARGETS_STEPS 1024u /* rows of names that are looked at */

static struct tb_series_key key_of(enum tb_family family, uint16_t status, uint32_t target)
{
    return (struct tb_series_key){
        .family = (uint8_t)family, .role = TB_ROLE_CLIENT, .status = status, .target = target};
}

/* What the rules call @authority: itself when they say nothing. */
static struct tb_bytes name_of(const struct tb_core *core, const struct tb_rules_view *v, struct tb_bytes authority)
{
    const uint8_t *section = (const uint8_t *)core->rules;
    uint32_t steps = TB_RULES_GLOB_STEPS, count = v ? tb_load_relaxed(&v->parts[TB_RULES_TARGETS].length) : 0;
    for (uint32_t i = 0; i < count && i < TARGETS_STEPS && steps; i++) {
        struct tb_rules_target row = tb_rules_target(section, v, i);
        struct tb_bytes name = tb_rules_text(section, v, row.name);
        if (name.len && tb_glob_within(tb_rules_text(section, v, row.glob), authority, &steps))
            return name;
    }
    return authority;
}

static uint32_t targets_max(const struct tb_core *core, const struct tb_rules_view *v)
{
    uint32_t max = v ? tb_rules_limit((const uint8_t *)core->rules, v, TB_RULES_MAX_TARGETS) : 0;
    return max ? max : TB_TARGETS_DEFAULT;
}

uint32_t tb_dependency_target(struct tb_core *core, struct tb_bytes authority)
{
    const struct tb_rules_view *v = tb_load_acquire(&core->rules_view);
    uint8_t kept[TB_RULES_LABEL_MAX + 56]; /* the rules may be written anew while the name is being interned */
    struct tb_bytes name = name_of(core, v, authority);
    const uint32_t max = targets_max(core, v);
    if (!name.len || name.len > sizeof kept)
        return TB_STR_OTHER;
    tb_copy(kept, name.ptr, name.len);
    if (v && !tb_rules_are_whole(core, v))
        return TB_STR_OTHER;
    return tb_string_admit(core, tb_bytes(kept, name.len), &core->rules->targets, max, TB_COUNTER_TARGETS_OVERFLOW);
}

uint32_t tb_dependency_known(struct tb_core *core, struct tb_bytes authority)
{
    const struct tb_rules_view *v = tb_load_acquire(&core->rules_view);
    if (name_of(core, v, authority).ptr != authority.ptr)
        return tb_dependency_target(core, authority);
    uint32_t ref = tb_string_find(core, authority);
    struct tb_series_key answered = key_of(TB_FAMILY_CALL_RESULT, TB_CALL_ANSWERED, ref),
                         failed = key_of(TB_FAMILY_CALL_RESULT, TB_CALL_FAILED, ref);
    return ref && (tb_series_is_known(core, &answered) || tb_series_is_known(core, &failed)) ? ref : 0;
}

uint32_t tb_dependency_asked(struct tb_core *core, const struct tb_conn *c, struct tb_host *host)
{
    uint32_t target = host->is_given ? tb_dependency_target(core, tb_host_authority(host)) : 0;
    target = tb_attempt_asked(core, c, target);
    return target ? target : TB_STR_OTHER;
}

/* ---- what became of them ---- */

static void note_result(struct tb_core *core, uint32_t target, enum tb_call_result result, uint64_t now_ns)
{
    struct tb_series_key key = key_of(TB_FAMILY_CALL_RESULT, (uint16_t)result, target);
    if (target == TB_STR_OTHER) /* several, of which some may be up and some not */
        return;
    tb_series_note(core, &key, now_ns && core->realtime_offset_ns ? core->realtime_offset_ns + now_ns : 0);
}

void tb_dependency_answered(struct tb_core *core, uint32_t target, uint16_t status, uint64_t now_ns)
{
    note_result(core, target, status < 500 ? TB_CALL_ANSWERED : TB_CALL_FAILED, now_ns);
}

void tb_dependency_failed(struct tb_core *core, uint32_t target, enum tb_call_error why)
{
    struct tb_series_key key = key_of(TB_FAMILY_CALL_ERRORS, (uint16_t)why, target);
    tb_series_note(core, &key, 0);
    note_result(core, target, TB_CALL_FAILED, tb_monotonic_ns(core));
}

void tb_dependency_took(struct tb_core *core, enum tb_family family, uint32_t target, uint64_t duration_ns)
{
    tb_measures_took(core, key_of(family, 0, target), duration_ns);
}
