/* SPDX-License-Identifier: Apache-2.0 */
/* The method table: a request method as sent becomes an id of methods.def, or _OTHER. */
#include "methods.h"

static const char names[TB_METHOD_COUNT][20] = {
    "_OTHER",
#define METHOD(id, name) name,
#include "methods.def"
#undef METHOD
};

uint8_t tb_method_by_hash(uint64_t hash, size_t len)
{
    for (int id = 1; id < TB_METHOD_COUNT; id++) {
        size_t n = tb_strnlen(names[id], sizeof(names[id]));
        if (n != len)
            continue;
        uint64_t h = TB_HASH_START;
        for (size_t i = 0; i < n; i++)
            h = tb_hash_step(h, (uint8_t)names[id][i]);
        if (h == hash)
            return (uint8_t)id;
    }
    return TB_METHOD_OTHER;
}

const char *tb_method_name(uint8_t method)
{
    return method < TB_METHOD_COUNT ? names[method] : names[0];
}

bool tb_is_token(uint8_t c)
{
    /* a bit for each token character of 0..127 */
    static const uint64_t set[2] = {
        UINT64_C(0x03ff6cfa00000000), /* ! # $ % & ' * + - . 0-9 */
        UINT64_C(0x57ffffffc7fffffe), /* A-Z ^ _ ` a-z | ~ */
    };
    return c < 128 && (set[c / 64] >> (c % 64) & 1);
}
