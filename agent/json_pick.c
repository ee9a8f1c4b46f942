/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with what every machine of the architecture has (json_pick_impl.h), the choice among all, and what a path may
 * be. */
#define TB_HOT_AVX2 0
#define TB_JSON_FEED tb_json_feed_base
#include "json_pick_impl.h"

#include "http1.h"

bool tb_json_set_add(struct tb_pick_set *set, struct tb_bytes path, bool is_hashed)
{
    size_t at = 0, steps = 0;

    for (; at < path.len; steps++) {
        uint8_t len = path.ptr[at];
        if (steps == TB_JSON_STEPS || (len > TB_JSON_KEY && len != TB_JSON_INDEX) ||
            path.len - at < step_bytes(path.ptr + at))
            return false;
        for (size_t i = 1; len != TB_JSON_INDEX && i <= len; i++)
            if (path.ptr[at + i] < ' ')
                return false;
        at += step_bytes(path.ptr + at);
    }
    return steps && tb_pick_set_add(set, path, is_hashed);
}

enum tb_parse tb_json_feed(struct tb_json_pick *j, const struct tb_pick_set *set, struct tb_bytes in)
{
#ifdef TB_SCAN_X86
    if (TB_LIKELY(tb_load_relaxed(&tb_http1_simd) == TB_SIMD_AVX2))
        return tb_json_feed_avx2(j, set, in);
    if (tb_load_relaxed(&tb_http1_simd) == TB_SIMD_SSE2)
        return tb_json_feed_base(j, set, in);
#endif
    return tb_json_feed_portable(j, set, in);
}
