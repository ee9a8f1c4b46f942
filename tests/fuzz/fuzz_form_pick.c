/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of forms and queries (form_pick.h, pick_names.h): any names, any text, any cuts. */
#include "pick_names.h"

#include "agent/form_pick.h"

static void read_form(const struct tb_pick_set *set, struct tb_bytes text, size_t piece, struct tb_picks *ret)
{
    static struct tb_form_pick form;
    enum tb_parse r = TB_PARSE_PARTIAL;
    memset(&form, 0, sizeof(form));
    for (size_t at = 0, len; at < text.len && r == TB_PARSE_PARTIAL; at += len) {
        uint8_t *copy;
        read_piece(text, at, piece, &copy, &len);
        r = tb_form_feed(&form, set, tb_bytes(copy, len));
        free(copy);
    }
    tb_form_end(&form, set);
    *ret = form.picks;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_names(data, size, tb_pick_set_add, read_form);
    return 0;
}
