/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from outside to those who push: the file of a state, with checksums set right so that the items behind
 * them are reached, and answers of those who give credentials out. The first byte says which; a state is written anew
 * and read again, and must then say the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/credentials.h"
#include "exporter/push_state.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tb_push_state *new_state(void)
{
    struct tb_push_state *s = tb_alloc(sizeof *s);
    s->path = tb_format("/dev/null");
    s->fd = -1;
    s->next_id = 1;
    return s;
}

/* One record of the items in @bytes. */
static void read_items(const char *bytes, size_t len)
{
    struct tb_push_state *s = new_state(), *again = new_state();
    struct tb_buffer b = {0}, rest = {0};
    begin_record(&b);
    tb_put(&b, bytes, len);
    seal(&b);
    (void)read_records(s, b.data, b.len);
    put_all(s, &rest);
    seal(&rest);
    if (read_records(again, rest.data, rest.len) != rest.len || again->body_bytes != s->body_bytes ||
        again->series.count > s->series.count || again->taken_ns != s->taken_ns)
        abort();
    tb_buffer_free(&b);
    tb_buffer_free(&rest);
    tb_push_state_close(s);
    tb_push_state_close(again);
}

static void read_raw(const char *bytes, size_t len)
{
    struct tb_push_state *s = new_state();
    if (read_records(s, bytes, len) > len)
        abort();
    tb_push_state_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tb_credentials c;
    if (size < 1 || size > 65536)
        return 0;
    char *text = tb_strndup((const char *)data + 1, size - 1); /* a copy of just that size */
    switch (data[0] % 4) {
    case 0:
        read_items(text, size - 1);
        break;
    case 1:
        read_raw(text, size - 1);
        break;
    case 2:
        if (tb_credentials_from_json(text, size - 1, &c))
            tb_credentials_free(&c);
        break;
    default:
        if (tb_credentials_from_sts(text, &c))
            tb_credentials_free(&c);
        break;
    }
    free(text);
    return 0;
}
