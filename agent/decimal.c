/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers in integers (decimal.h): the digits that count go into the mantissa, zeros and the point into the
 * exponent. */
#include "decimal.h"

#define EXPONENT_MAX 9999
#define MANTISSA_MAX INT64_C(999999999999999999) /* 18 digits */

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

bool tb_decimal_is_json(struct tb_bytes text)
{
    const uint8_t *p = text.ptr, *end = p + text.len, *from;

    if (p < end && *p == '-')
        p++;
    from = p;
    p = skip_digits(p, end);
    if (p == from || (*from == '0' && p - from > 1))
        return false;
    if (p < end && *p == '.') {
        from = ++p;
        p = skip_digits(p, end);
        if (p == from)
            return false;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        from = p;
        p = skip_digits(p, end);
        if (p == from)
            return false;
    }
    return p == end;
}

/* The digits with their point. Zeros are held back until a digit shows that they matter. */
struct digits {
    int64_t mantissa;
    int32_t exponent, zeros;
    bool has_digit, is_fraction;
};

static bool add_digit(struct digits *d, uint8_t digit)
{
    d->has_digit = true;
    if (d->is_fraction)
        d->exponent--;
    if (digit == 0) {
        d->zeros += d->mantissa != 0;
        return true;
    }
    for (; d->zeros >= 0; d->zeros--) {
        if (d->mantissa > MANTISSA_MAX / 10)
            return false;
        d->mantissa *= 10;
    }
    d->zeros = 0;
    d->mantissa += digit;
    return true;
}

/* "e-12" at @p, to the end. */
static bool read_exponent(const uint8_t *p, const uint8_t *end, int32_t *ret)
{
    bool is_negative = ++p < end && *p == '-';
    int32_t exponent = 0;

    if (p < end && (*p == '+' || *p == '-'))
        p++;
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return false;
        if (exponent <= EXPONENT_MAX)
            exponent = exponent * 10 + (*p - '0');
    }
    *ret += is_negative ? -exponent : exponent;
    return true;
}

bool tb_decimal_read(struct tb_bytes text, struct tb_decimal *ret)
{
    const uint8_t *p = text.ptr, *end = p + text.len;
    struct digits d = {0};

    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    bool is_negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end && (is_digit(*p) || (*p == '.' && !d.is_fraction)); p++) {
        if (*p == '.')
            d.is_fraction = true;
        else if (!add_digit(&d, (uint8_t)(*p - '0')))
            return false;
    }
    if (!d.has_digit || (p < end && ((*p | 0x20) != 'e' || !read_exponent(p, end, &d.exponent))))
        return false;
    if (d.mantissa == 0) {
        *ret = (struct tb_decimal){0};
        return true;
    }
    d.exponent += d.zeros;
    if (d.exponent > EXPONENT_MAX || d.exponent < -EXPONENT_MAX)
        return false;
    *ret = (struct tb_decimal){is_negative ? -d.mantissa : d.mantissa, d.exponent};
    return true;
}

bool tb_decimal_scaled(struct tb_decimal d, int32_t scale, int64_t *ret)
{
    int64_t value = d.mantissa;
    int32_t power = d.exponent + scale;

    for (; power > 0 && value; power--)
        if (__builtin_mul_overflow(value, INT64_C(10), &value))
            return false;
    int64_t last = 0; /* the digit that was cut off last decides */
    for (; power < 0 && (value || last); power++) {
        last = value % 10;
        value /= 10;
    }
    value += last >= 5 ? 1 : last <= -5 ? -1 : 0;
    *ret = value;
    return true;
}
