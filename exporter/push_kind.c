/* SPDX-License-Identifier: Apache-2.0 */
/* The table of outputs (push_kind.h). */
#include "push_kind.h"

#include <string.h>

static const struct tb_push_kind *const kinds[] = {&tb_push_cloudwatch, &tb_push_emf, &tb_push_otlp,
                                                   &tb_push_remote_write};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

const struct tb_push_kind *tb_push_kind_find(const char *type, char **ret_known)
{
    struct tb_buffer known = {0};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strcmp(kinds[i]->type, type) == 0) {
            tb_buffer_free(&known);
            return kinds[i];
        }
        tb_puts(&known, i ? ", " : "");
        tb_puts(&known, kinds[i]->type);
    }
    *ret_known = tb_buffer_text(&known);
    return NULL;
}

void tb_push_add_request(struct tb_push_requests *r, struct tb_buffer *body, uint32_t points)
{
    r->items = tb_grow(r->items, r->count, &r->space, sizeof *r->items);
    size_t len = body->len;
    r->items[r->count++] = (struct tb_push_request){.points = points, .len = len, .body = tb_buffer_text(body)};
}
