/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers as headers and JSON have them (RFC 8259 section 6, signs and leading zeros as they come), in 10^-9.
 * Integers only: the core runs inside of system calls of programs, whose floating-point state is theirs. */
#include "custom.h"

#define DIGITS_MAX 40u /* longer texts are no numbers that fit */

static bool multiply(uint64_t *n, uint64_t digit)
{
    if (*n > (UINT64_C(1) << 63) / 10 - 1)
        return false;
    *n = *n * 10 + digit;
    return true;
}

/* The exponent at @p, if there is one. False: it is broken, or beyond all use. */
static bool exponent(const uint8_t *p, const uint8_t *end, int *ret)
{
    bool is_negative = false;
    int value = 0;
    if (p == end)
        return true;
    if ((*p != 'e' && *p != 'E') || ++p == end)
        return false;
    if (*p == '-' || *p == '+')
        is_negative = *p++ == '-';
    if (p == end)
        return false;
    for (; p < end; p++) {
        if ((uint8_t)(*p - '0') > 9 || value > 99)
            return false;
        value = value * 10 + (*p - '0');
    }
    *ret = is_negative ? -value : value;
    return true;
}

bool tb_custom_number(struct tb_bytes text, int scale, int64_t *ret_nano)
{
    const uint8_t *p = text.ptr, *end = p + text.len;
    uint8_t digits[DIGITS_MAX];
    uint32_t count = 0;
    int point = 0, power = 0;
    bool is_negative = false, has_point = false;
    if (p < end && (*p == '-' || *p == '+'))
        is_negative = *p++ == '-';
    for (; p < end && ((uint8_t)(*p - '0') < 10 || (*p == '.' && !has_point)); p++) {
        if (*p == '.') {
            has_point = true;
            continue;
        }
        if (count == DIGITS_MAX)
            return false;
        digits[count++] = (uint8_t)(*p - '0');
        point += !has_point;
    }
    if (!count || !exponent(p, end, &power))
        return false;
    uint64_t value = 0;
    int wanted = point + power + scale + 9; /* digits before the end of 10^-9 */
    for (int i = 0; i < wanted; i++) {
        uint64_t digit = i < (int)count ? digits[i] : 0;
        if (i >= (int)count && !value)
            break; /* zero, however long */
        if (!multiply(&value, digit))
            return false;
    }
    *ret_nano = is_negative ? -(int64_t)value : (int64_t)value;
    return true;
}
