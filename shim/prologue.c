/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beginnings of functions (prologue.h): which instructions may be moved, how far into a function they reach, whether
 * something in it comes back to them. What depends on its own address may not be moved, but for branches, which are
 * easily made to reach from anywhere: SSL_free begins with `if (s == NULL) return`, SSL_read_ex with a call.
 */
#include "prologue.h"

#include "instruction.h"

#define ENDBR64_LEN 4u
static const uint8_t endbr64[ENDBR64_LEN] = {0xf3, 0x0f, 0x1e, 0xfa};

/* COPY when it is no branch that can be moved. */
static enum tb_prologue_kind kind_of(const struct tb_instruction *in, uint8_t op)
{
    if (!in->distance || in->prefixes || in->has_rex)
        return TB_PROLOGUE_COPY;
    if (in->is_two || (op & 0xf0) == 0x70)
        return TB_PROLOGUE_BRANCH;
    if (op == 0xe8)
        return TB_PROLOGUE_CALL;
    return op == 0xe9 || op == 0xeb ? TB_PROLOGUE_GO : TB_PROLOGUE_COPY;
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

size_t tb_prologue_length(struct tb_bytes code, enum tb_prologue_kind *ret_kind)
{
    struct tb_instruction in;
    if (!tb_instruction_read(code, &in) || in.is_long || in.is_relative)
        return 0;
    const uint8_t op = code.ptr[in.opcode_at], modrm = in.modrm_at ? code.ptr[in.modrm_at] : 0;
    *ret_kind = kind_of(&in, op);
    if (*ret_kind != TB_PROLOGUE_COPY)
        return in.len;
    if (in.distance || in.prefixes & ~TB_PREFIX_FS) /* fs: where the stack protector's value lies */
        return 0;
    return (in.is_two ? may_move_two(op) : may_move_one(op, modrm)) ? in.len : 0;
}

bool tb_prologue_branches(struct tb_bytes code, uintptr_t from, uintptr_t to)
{
    bool is_lost = false;
    for (size_t at = 0; at < code.len;) {
        struct tb_instruction in;
        bool is_known = tb_instruction_read(tb_bytes(code.ptr + at, code.len - at), &in);
        uintptr_t target = (uintptr_t)code.ptr + at + (is_known ? (uintptr_t)in.target : 0);
        if (is_known && in.distance && target >= from && target < to)
            return true;
        is_lost |= !is_known;
        at += is_lost ? 1 : in.len;
    }
    return false;
}

enum tb_prologue_answer tb_prologue_read(struct tb_bytes code, struct tb_prologue *ret)
{
    size_t at = code.len >= ENDBR64_LEN && tb_equal(code.ptr, endbr64, ENDBR64_LEN) ? ENDBR64_LEN : 0;
    size_t end = at;
    for (enum tb_prologue_kind kind = TB_PROLOGUE_COPY; end < at + TB_PROLOGUE_JUMP;) {
        if (end == code.len || kind == TB_PROLOGUE_GO)
            return TB_PROLOGUE_SHORT;
        size_t len = tb_prologue_length(tb_bytes(code.ptr + end, code.len - end), &kind);
        if (!len || (kind == TB_PROLOGUE_GO && end == at))
            return TB_PROLOGUE_UNKNOWN;
        end += len;
    }
    if (tb_prologue_branches(code, (uintptr_t)code.ptr, (uintptr_t)code.ptr + end))
        return TB_PROLOGUE_ENTERED;
    *ret = (struct tb_prologue){(uint8_t)at, (uint8_t)end};
    return TB_PROLOGUE_OK;
}

static void put32(uint8_t *out, uint64_t value)
{
    const uint32_t low = (uint32_t)value;
    tb_copy(out, &low, sizeof(low));
}

void tb_prologue_jump(uint8_t *out, uintptr_t at, uintptr_t to)
{
    out[0] = 0xe9;
    put32(out + 1, to - (at + TB_PROLOGUE_JUMP));
}

static size_t move_branch(uint8_t condition, uintptr_t target, uintptr_t to, uint8_t *out)
{
    out[0] = 0x0f;
    out[1] = 0x80 | condition;
    put32(out + 2, target - (to + 6));
    return 6;
}

/* push the lower half, extended; mov the upper over the extension; jmp */
static size_t move_call(uintptr_t back, uintptr_t target, uintptr_t to, uint8_t *out)
{
    static const uint8_t mov_to_upper[] = {0xc7, 0x44, 0x24, 0x04};
    out[0] = 0x68;
    put32(out + 1, back);
    tb_copy(out + 5, mov_to_upper, sizeof(mov_to_upper));
    put32(out + 9, (uint64_t)back >> 32);
    tb_prologue_jump(out + 13, to + 13, target);
    return 13 + TB_PROLOGUE_JUMP;
}

size_t tb_prologue_move(const struct tb_prologue *p, const uint8_t *from, uintptr_t to, uint8_t *out)
{
    enum tb_prologue_kind kind = TB_PROLOGUE_COPY;
    size_t written = 0;
    for (size_t i = p->at; i < p->end;) {
        struct tb_instruction in;
        struct tb_bytes code = tb_bytes(from + i, (size_t)p->end - i);
        size_t len = tb_prologue_length(code, &kind);
        if (!len || !tb_instruction_read(code, &in)) /* not what tb_prologue_read has seen */
            return 0;
        i += len;
        const uintptr_t target = (uintptr_t)code.ptr + (uintptr_t)in.target, here = to + written;
        if (kind == TB_PROLOGUE_BRANCH) {
            written += move_branch(code.ptr[in.opcode_at] & 0x0f, target, here, out + written);
        } else if (kind == TB_PROLOGUE_COPY) {
            tb_copy(out + written, code.ptr, len);
            written += len;
        } else if (kind == TB_PROLOGUE_CALL) {
            return written + move_call((uintptr_t)from + i, target, here, out + written);
        } else {
            tb_prologue_jump(out + written, here, target);
            return written + TB_PROLOGUE_JUMP;
        }
    }
    tb_prologue_jump(out + written, to + written, (uintptr_t)from + p->end);
    return written + TB_PROLOGUE_JUMP;
}
