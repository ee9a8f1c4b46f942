/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lengths of x86-64 instructions (instruction.h): Intel's manual, volume 2, chapter 2 (prefixes, REX, VEX, ModRM, SIB)
 * and appendix A (opcode maps). Judged against objdump, instruction by instruction, over whole libraries
 * (tests/preload/prologues.c).
 */
#include "instruction.h"

#define PREFIXES_MAX 14u

/* What follows an opcode. */
#define M 1u    /* an operand: ModRM, SIB, displacement */
#define I8 2u   /* a constant of 8 bits */
#define I16 4u  /* of 16 */
#define I32 8u  /* of 32, or 16 behind 0x66 */
#define J8 16u  /* a distance of 8 bits */
#define J32 32u /* of 32 */
#define NO 128u /* unknown */

static unsigned of_one(uint8_t op)
{
    if (op < 0x40) /* add or adc sbb and sub xor cmp */
        return (op & 7) < 4 ? M : (op & 7) == 4 ? I8 : (op & 7) == 5 ? I32 : NO;
    switch (op >> 4) {
    case 0x5: /* push, pop */
        return 0;
    case 0x7:
        return J8;
    case 0x9:
        return op == 0x9a || op == 0x9b ? NO : 0; /* 9b: of some the first byte, of others all */
    case 0xb:                                     /* mov constant */
        return op < 0xb8 ? I8 : I32;
    default:
        break;
    }
    switch (op) {
    case 0x63:
    case 0x84 ... 0x8f:
    case 0xd0 ... 0xd3:
    case 0xd8 ... 0xdf:
    case 0xfe:
    case 0xff:
    case 0xf6: /* and a constant, of those that have one */
    case 0xf7:
        return M;
    case 0x6b:
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
        return M | I8;
    case 0x69:
    case 0x81:
    case 0xc7:
        return M | I32;
    case 0x6a:
    case 0xa8:
    case 0xcd:
    case 0xe4 ... 0xe7:
        return I8;
    case 0x68:
    case 0xa9:
        return I32;
    case 0xc2:
    case 0xca:
        return I16;
    case 0xc8:
        return I16 | I8;
    case 0xe0 ... 0xe3:
    case 0xeb:
        return J8;
    case 0xe8:
    case 0xe9:
        return J32;
    case 0x6c ... 0x6f:
    case 0xa4 ... 0xa7:
    case 0xaa ... 0xaf:
    case 0xc3:
    case 0xc9:
    case 0xcb:
    case 0xcc:
    case 0xcf:
    case 0xec ... 0xef:
    case 0xf1:
    case 0xf4:
    case 0xf5:
    case 0xf8 ... 0xfd:
        return 0;
    default:
        return NO;
    }
}

/* Behind 0x0f. */
static unsigned of_two(uint8_t op)
{
    switch (op) {
    case 0x80 ... 0x8f:
        return J32;
    case 0x70 ... 0x73:
    case 0xa4:
    case 0xac:
    case 0xba:
    case 0xc2:
    case 0xc4 ... 0xc6:
        return M | I8;
    case 0x05 ... 0x09:
    case 0x0b:
    case 0x30 ... 0x35:
    case 0x37:
    case 0x77:
    case 0xa0 ... 0xa2:
    case 0xa8 ... 0xaa:
    case 0xc8 ... 0xcf:
        return 0;
    case 0x04:
    case 0x0a:
    case 0x0c:
    case 0x0e: /* 3DNow */
    case 0x0f:
    case 0x20 ... 0x27: /* control registers: their operands have rules of their own */
    case 0x36:
    case 0x38 ... 0x3f:
        return NO;
    default:
        return M;
    }
}

/* Bytes of an operand from its ModRM byte on; 0: cut off. */
static size_t operand_length(struct tb_bytes in)
{
    if (!in.len)
        return 0;
    uint8_t mod = in.ptr[0] >> 6, rm = in.ptr[0] & 7;
    size_t len = 1;
    if (mod == 3)
        return len;
    if (rm == 4) {
        if (in.len < 2)
            return 0;
        len++;
        if (mod == 0 && (in.ptr[1] & 7) == 5) /* no base: 32 bits of address */
            return len + 4;
    }
    if (mod == 0)
        return len + (rm == 5 ? 4 : 0);
    return len + (mod == 1 ? 1 : 4);
}

/* Prefixes and REX; the offset of what follows. */
static size_t read_prefixes(struct tb_bytes code, struct tb_instruction *ret)
{
    size_t at = 0;
    for (; at < code.len && at < PREFIXES_MAX; at++) {
        switch (code.ptr[at]) {
        case 0x64:
            ret->prefixes |= TB_PREFIX_FS;
            continue;
        case 0x66:
            ret->prefixes |= TB_PREFIX_SIZE;
            continue;
        case 0xf2:
        case 0xf3:
            ret->prefixes |= TB_PREFIX_REPEAT;
            continue;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x65:
        case 0x67:
        case 0xf0:
            ret->prefixes |= TB_PREFIX_OTHER;
            continue;
        default:
            break;
        }
        break;
    }
    if (at < code.len && (code.ptr[at] & 0xf0) == 0x40) {
        ret->has_rex = true;
        ret->is_wide = code.ptr[at] & 8;
        at++;
    }
    return at;
}

/* The opcode at @at, one byte or more. What follows it; ret->opcode_at is its last byte. */
static unsigned read_opcode(struct tb_bytes code, size_t at, struct tb_instruction *ret)
{
    const uint8_t *p = code.ptr + at;
    size_t left = code.len - at, skip = 0;
    uint8_t map = 0; /* 1: 0f, 2: 0f 38, 3: 0f 3a */
    if (left >= 4 && p[0] == 0xc4) {
        map = p[1] & 0x1f;
        skip = 3;
    } else if (left >= 3 && p[0] == 0xc5) {
        map = 1;
        skip = 2;
    } else if (left >= 3 && p[0] == 0x0f && (p[1] == 0x38 || p[1] == 0x3a)) {
        map = p[1] == 0x38 ? 2 : 3;
        skip = 2;
    } else if (left >= 2 && p[0] == 0x0f) {
        map = 1;
        skip = 1;
    } else if (!left || p[0] == 0x0f || p[0] == 0xc4 || p[0] == 0xc5) {
        return NO;
    }
    ret->opcode_at = (uint8_t)(at + skip);
    ret->is_two = skip == 1;
    ret->is_long = skip > 1;
    switch (map) {
    case 0:
        return skip ? NO : of_one(p[0]);
    case 1:
        return of_two(p[skip]);
    case 2:
        return M;
    case 3:
        return M | I8;
    default:
        return NO;
    }
}

/* Of test, div and their kin only the first two have a constant. */
static unsigned of_group(uint8_t op, uint8_t modrm)
{
    if ((op == 0xf6 || op == 0xf7) && (modrm >> 3 & 7) < 2)
        return op == 0xf6 ? I8 : I32;
    return 0;
}

static size_t constant_length(const struct tb_instruction *in, unsigned form, uint8_t op)
{
    size_t len = (form & I8 ? 1u : 0) + (form & I16 ? 2u : 0);
    if (form & I32 && in->is_wide && !in->is_two && (op & 0xf8) == 0xb8)
        return len + 8;
    return len + (form & I32 ? (in->prefixes & TB_PREFIX_SIZE && !in->is_wide ? 2u : 4u) : 0);
}

bool tb_instruction_read(struct tb_bytes code, struct tb_instruction *ret)
{
    *ret = (struct tb_instruction){0};
    size_t at = read_prefixes(code, ret);
    unsigned form = read_opcode(code, at, ret);
    if (form & NO || (form & J32 && ret->prefixes & TB_PREFIX_SIZE)) /* makers differ in what that does to a distance */
        return false;
    const uint8_t op = code.ptr[ret->opcode_at];
    at = ret->opcode_at + 1u;
    if (form & M) {
        size_t operand = operand_length(tb_bytes(code.ptr + at, code.len - at));
        if (!operand || (op == 0x8f && !ret->is_two && code.ptr[at] & 0x38)) /* cut off, or XOP */
            return false;
        ret->modrm_at = (uint8_t)at;
        ret->is_relative = (code.ptr[at] & 0xc7) == 0x05;
        if (!ret->is_two && !ret->is_long)
            form |= of_group(op, code.ptr[at]);
        at += operand;
    }
    at += constant_length(ret, form, op);
    ret->distance = form & J8 ? 1 : form & J32 ? 4 : 0;
    if (op == 0xc7 && form & M && !ret->is_two && !ret->is_long && code.ptr[ret->modrm_at] == 0xf8)
        ret->distance = 4; /* xbegin */
    else
        at += ret->distance;
    if (at > code.len || at > 15)
        return false;
    ret->len = (uint8_t)at;
    if (ret->distance == 1)
        ret->target = (int64_t)at + (int8_t)code.ptr[at - 1];
    else if (ret->distance == 4)
        ret->target = (int64_t)at + (int32_t)tb_read32(code.ptr + at - 4);
    return true;
}
