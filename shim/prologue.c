/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beginnings of functions (prologue.h): which instructions may be moved, how far into a function they reach, whether
 * something in it comes back to them. What depends on its own address may not be moved, but for jumps on a condition,
 * which are easily made to reach from anywhere: OpenSSL's SSL_free begins with `if (s == NULL) return`.
 */
#include "prologue.h"

#include "instruction.h"

#define ENDBR64_LEN 4u
static const uint8_t endbr64[ENDBR64_LEN] = {0xf3, 0x0f, 0x1e, 0xfa};

#define CODE_ALIGNMENT 16u /* where compilers begin functions; what is between them is filled */

static bool is_branch_on_condition(const struct tb_instruction *in, uint8_t op)
{
    return !in->prefixes && !in->has_rex && (in->is_two ? in->distance == 4 : in->distance == 1 && (op & 0xf0) == 0x70);
}

static bool may_move_two(uint8_t op)
{
    switch (op) {
    case 0x1f: /* nop of any length */
    case 0xb6: /* movzx, movsx */
    case 0xb7:
    case 0xbe:
    case 0xbf:
    case 0x10: /* movups, movaps: registers of 16 bytes */
    case 0x11:
    case 0x28:
    case 0x29:
        return true;
    default:
        return false;
    }
}

static bool may_move_one(uint8_t op, uint8_t modrm)
{
    const bool is_first = (modrm >> 3 & 7) == 0;
    if ((op & 0xf8) == 0x50 || (op & 0xf8) == 0xb8 || op == 0x90) /* push, mov constant, nop */
        return true;
    if (op < 0x40) /* add or adc sbb and sub xor cmp */
        return (op & 7) < 4;
    switch (op) {
    case 0x63: /* movsxd */
    case 0x80: /* add ... cmp constant */
    case 0x81:
    case 0x83:
    case 0x84: /* test */
    case 0x85:
    case 0x88: /* mov */
    case 0x89:
    case 0x8a:
    case 0x8b:
    case 0xc1: /* shifts */
        return true;
    case 0x8d: /* lea: never of a register */
        return modrm < 0xc0;
    case 0xc6: /* mov constant; others of the group are branches and worse */
    case 0xc7:
    case 0xf6: /* test constant */
    case 0xf7:
        return is_first;
    default:
        return false;
    }
}

size_t tb_prologue_length(struct tb_bytes code, bool *ret_is_branch)
{
    struct tb_instruction in;
    *ret_is_branch = false;
    if (!tb_instruction_read(code, &in) || in.is_long || in.is_relative)
        return 0;
    const uint8_t op = code.ptr[in.opcode_at], modrm = in.modrm_at ? code.ptr[in.modrm_at] : 0;
    *ret_is_branch = is_branch_on_condition(&in, op);
    if (*ret_is_branch)
        return in.len;
    if (in.distance || in.prefixes & ~TB_PREFIX_FS) /* fs: where the stack protector's value lies */
        return 0;
    return (in.is_two ? may_move_two(op) : may_move_one(op, modrm)) ? in.len : 0;
}

/*
 * Does a branch lead into the first @end bytes? Behind an instruction that is not known any byte may be the beginning
 * of one.
 */
static bool is_entered(struct tb_bytes code, size_t end)
{
    bool is_lost = false;
    for (size_t at = 0; at < code.len;) {
        struct tb_instruction in;
        bool is_known = tb_instruction_read(tb_bytes(code.ptr + at, code.len - at), &in);
        if (is_known && in.distance && (int64_t)at + in.target >= 0 && (int64_t)at + in.target < (int64_t)end)
            return true;
        is_lost |= !is_known;
        at += is_lost ? 1 : in.len;
    }
    return false;
}

static bool is_filler(struct tb_bytes code, size_t *ret_len)
{
    struct tb_instruction in;
    if (!tb_instruction_read(code, &in) || in.has_rex || in.is_long)
        return false;
    const uint8_t op = code.ptr[in.opcode_at];
    *ret_len = in.len;
    if (op == 0xcc && !in.is_two) /* int3 */
        return true;
    return !(in.prefixes & TB_PREFIX_REPEAT) && op == (in.is_two ? 0x1f : 0x90);
}

/* Is there room for a jump between the function and the next, within a hop from @at? */
static bool has_room_behind(struct tb_bytes code, size_t at)
{
    size_t room = (CODE_ALIGNMENT - ((uintptr_t)code.ptr + code.len) % CODE_ALIGNMENT) % CODE_ALIGNMENT;
    if (room < TB_PROLOGUE_JUMP || code.len - at - TB_PROLOGUE_HOP > INT8_MAX)
        return false;
    for (size_t i = 0, len; i < room; i += len)
        if (!is_filler(tb_bytes(code.ptr + code.len + i, room - i), &len))
            return false;
    return true;
}

enum tb_prologue_answer tb_prologue_read(struct tb_bytes code, struct tb_prologue *ret)
{
    size_t at = code.len >= ENDBR64_LEN && tb_equal(code.ptr, endbr64, ENDBR64_LEN) ? ENDBR64_LEN : 0;
    size_t end = at, jump_at = at;
    while (end < at + TB_PROLOGUE_JUMP) {
        bool is_branch;
        if (end == code.len)
            return TB_PROLOGUE_SHORT;
        size_t len = tb_prologue_length(tb_bytes(code.ptr + end, code.len - end), &is_branch);
        if (!len) {
            if (end < at + TB_PROLOGUE_HOP || !has_room_behind(code, at))
                return TB_PROLOGUE_UNKNOWN;
            jump_at = code.len;
            break;
        }
        end += len;
    }
    if (is_entered(code, end))
        return TB_PROLOGUE_ENTERED;
    *ret = (struct tb_prologue){(uint8_t)at, (uint8_t)end, (uint16_t)jump_at};
    return TB_PROLOGUE_OK;
}

/* A jump on a condition, with 32 bits of distance. */
static size_t move_branch(const uint8_t *from, uintptr_t to, uint8_t *out)
{
    struct tb_instruction in;
    const size_t len = 6;
    if (!tb_instruction_read(tb_bytes(from, len), &in))
        return 0;
    int32_t way = (int32_t)((int64_t)(uintptr_t)from + in.target - (int64_t)(to + len));
    out[0] = 0x0f;
    out[1] = 0x80 | (from[in.opcode_at] & 0x0f);
    tb_copy(out + 2, &way, sizeof(way));
    return len;
}

size_t tb_prologue_move(const struct tb_prologue *p, const uint8_t *from, uintptr_t to, uint8_t *out)
{
    size_t written = 0;
    for (size_t i = p->at; i < p->end;) {
        bool is_branch;
        size_t len = tb_prologue_length(tb_bytes(from + i, (size_t)p->end - i), &is_branch);
        if (!len) /* not what tb_prologue_read has seen */
            return 0;
        if (is_branch)
            written += move_branch(from + i, to + written, out + written);
        else
            tb_copy(out + written, from + i, len), written += len;
        i += len;
    }
    return written;
}
