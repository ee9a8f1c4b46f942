/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long an x86-64 instruction is, and what in it depends on where it stands. Lengths only: nothing is named, nothing
 * is carried out. What it does not know (EVEX, XOP, 3DNow, what is no instruction in 64-bit mode) it says so. A pure
 * function on bytes.
 */
#ifndef TB_INSTRUCTION_H
#define TB_INSTRUCTION_H

#include "../agent/bytes.h"

struct tb_instruction {
    uint8_t len;
    uint8_t opcode_at;     /* offset of the opcode, behind prefixes and the 0x0f that some begin with */
    bool is_two;           /* behind a 0x0f */
    bool is_long;          /* behind more than one byte of it (0x0f 0x38, VEX) */
    bool has_rex, is_wide; /* REX prefix, and its W */
    uint8_t prefixes;      /* others, TB_PREFIX_ */
    uint8_t modrm_at;      /* offset of the operand; 0: none */
    bool is_relative;      /* the operand is at a distance from the instruction */
    uint8_t distance;      /* bytes of the distance of a branch, at its end; 0: no branch, or not a relative one */
    int64_t target;        /* of such a branch, from the instruction's first byte */
};

#define TB_PREFIX_FS 1u     /* 64 */
#define TB_PREFIX_SIZE 2u   /* 66 */
#define TB_PREFIX_REPEAT 4u /* f2 f3 */
#define TB_PREFIX_OTHER 8u  /* lock, other segments, addresses of 32 bits */

/* tb_instruction_read - the instruction at the beginning of @code. False: not known, or cut off; ret is then undefined.
 */
bool tb_instruction_read(struct tb_bytes code, struct tb_instruction *ret);

#endif
