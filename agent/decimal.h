/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as they stand in text, exact, without floating point: mantissa times a power of ten. Reads what JSON calls a
 * number (RFC 8259 section 6) and, for header values, the same with leading zeros, a '+' and a missing part before or
 * behind the point. Pure. Context: any.
 */
#ifndef TB_DECIMAL_H
#define TB_DECIMAL_H

#include "bytes.h"

struct tb_decimal {
    int64_t mantissa; /* without trailing zeros of the text; 0 has exponent 0 */
    int32_t exponent; /* of ten */
};

/* tb_decimal_is_json - is all of @text a number of JSON? */
bool tb_decimal_is_json(struct tb_bytes text);

/*
 * tb_decimal_read - all of @text, blanks around it left out. Returns false, with @ret untouched, when it is no number
 * or has more significant digits than 18, or a power of ten beyond +-9999.
 */
bool tb_decimal_read(struct tb_bytes text, struct tb_decimal *ret);

/*
 * tb_decimal_scaled - @d times 10^@scale, rounded half away from zero: 12.5 with scale 3 is 12500. Returns false, with
 * @ret untouched, when that is beyond the 64 bits.
 */
bool tb_decimal_scaled(struct tb_decimal d, int32_t scale, int64_t *ret);

#endif
