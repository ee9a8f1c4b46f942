/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of header fields and cookies (header_pick.h, pick_names.h): any names, any section, any cuts. */
#include "pick_names.h"

#include "agent/header_pick.h"

static void read_section(const struct tb_pick_set *set, struct tb_bytes text, size_t piece, struct tb_picks *ret)
{
    static struct tb_header_pick section;
    enum tb_parse r = TB_PARSE_PARTIAL;
    memset(&section, 0, sizeof(section));
    for (size_t at = 0, len; at < text.len && r == TB_PARSE_PARTIAL; at += len) {
        uint8_t *copy;
        read_piece(text, at, piece, &copy, &len);
        r = tb_header_feed(&section, set, tb_bytes(copy, len));
        free(copy);
    }
    *ret = section.picks;
    for (uint32_t i = 0; i < set->count; i++)
        require(tb_cache_word(tb_pick_text(ret, i)) <= TB_CACHE_OTHER, "no word");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_names(data, size, tb_header_set_add, read_section);
    return 0;
}
