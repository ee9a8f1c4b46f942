/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first instructions of a function, and whether they can be carried out elsewhere (inline.h needs that). This is no
 * disassembler: it knows the lengths of the instructions that compilers begin functions with, and takes everything else
 * for unknown. Pure functions on bytes of x86-64 code; on other machines every function is unknown.
 */
#ifndef TB_PROLOGUE_H
#define TB_PROLOGUE_H

#include "../agent/bytes.h"

#define TB_PROLOGUE_JUMP 5u   /* bytes of a jump with 32 bits of distance: what is overwritten */
#define TB_PROLOGUE_MOVED 44u /* bytes that the moved instructions may take, the way back included */

enum tb_prologue_answer {
    TB_PROLOGUE_OK,
    TB_PROLOGUE_UNKNOWN, /* an instruction that is not known, or that means something else elsewhere */
    TB_PROLOGUE_SHORT,   /* the function ends before a jump fits */
    TB_PROLOGUE_ENTERED  /* something in the function may jump into what would be overwritten */
};

/* Both from the function's first byte. */
struct tb_prologue {
    uint8_t at;  /* where the jump goes: behind a mark of indirect branches (endbr64), which stays */
    uint8_t end; /* where the function goes on: whole instructions, at least TB_PROLOGUE_JUMP behind @at */
};

/* How an instruction is moved. */
enum tb_prologue_kind {
    TB_PROLOGUE_COPY,
    TB_PROLOGUE_BRANCH, /* a jump on a condition: made to reach from anywhere */
    TB_PROLOGUE_CALL, /* made a jump that leaves the original's return address: nobody returns to where it was moved */
    TB_PROLOGUE_GO    /* a jump; nothing comes behind it */
};

/*
 * tb_prologue_read - can the function in @code be entered by a jump?
 *
 * @code  the whole function
 * @ret   untouched unless TB_PROLOGUE_OK
 *
 * Found to be entered: tb_prologue_branches to what lies before ret->end, so more is refused than must be. A branch
 * from outside the function to its middle, into the saving of registers, is nothing that a compiler makes. A function
 * that begins with a jump is unknown: somebody else has put it there.
 */
enum tb_prologue_answer tb_prologue_read(struct tb_bytes code, struct tb_prologue *ret);

/*
 * tb_prologue_move - writes what does at @to the same as what stands between p->at and p->end of the function at @from,
 * and then goes on there. Everything that it leads to must be within 2 GiB of both.
 *
 * @out  the bytes that will stand at @to: TB_PROLOGUE_MOVED of them
 *
 * Returns their number.
 */
size_t tb_prologue_move(const struct tb_prologue *p, const uint8_t *from, uintptr_t to, uint8_t *out);

/* tb_prologue_jump - writes the TB_PROLOGUE_JUMP bytes of a jump from @at to @to, within 2 GiB. */
void tb_prologue_jump(uint8_t *out, uintptr_t at, uintptr_t to);

/* tb_prologue_length - bytes of the instruction at the beginning of @code, when it is one that may be moved, else 0. */
size_t tb_prologue_length(struct tb_bytes code, enum tb_prologue_kind *ret_kind);

/*
 * tb_prologue_branches - is there a branch in @code that leads to an address from @from to before @to? Where an
 * instruction is not known, any byte behind it is taken for the beginning of one.
 */
bool tb_prologue_branches(struct tb_bytes code, uintptr_t from, uintptr_t to);

#endif
