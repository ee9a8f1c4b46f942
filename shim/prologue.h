/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first instructions of a function, and whether they can be carried out elsewhere (inline.h needs that). This is no
 * disassembler: it knows the lengths of the instructions that compilers begin functions with, and takes everything else
 * for unknown. Pure functions on bytes of x86-64 code; on other machines every function is unknown.
 */
#ifndef TB_PROLOGUE_H
#define TB_PROLOGUE_H

#include "../agent/bytes.h"

#define TB_PROLOGUE_JUMP 5u   /* bytes of a jump to anywhere within 2 GiB */
#define TB_PROLOGUE_HOP 2u    /* bytes of a jump of at most 127 bytes */
#define TB_PROLOGUE_MOVED 40u /* bytes that the moved instructions may take, the way back not included */

enum tb_prologue_answer {
    TB_PROLOGUE_OK,
    TB_PROLOGUE_UNKNOWN, /* an instruction that is not known, or that means something else elsewhere */
    TB_PROLOGUE_SHORT,   /* the function ends before a jump fits */
    TB_PROLOGUE_ENTERED  /* something in the function may jump into what would be overwritten */
};

/* All from the function's first byte. */
struct tb_prologue {
    uint8_t at;       /* what is overwritten: behind a mark of indirect branches (endbr64), which stays */
    uint8_t end;      /* where the function goes on: whole instructions */
    uint16_t jump_at; /* the jump: @at, or in the filler behind the function, and at @at a hop to it */
};

/*
 * tb_prologue_read - can the function in @code be entered by a jump?
 *
 * @code  the whole function, where it lies: what is between it and the next multiple of 16 is looked at as well
 * @ret   untouched unless TB_PROLOGUE_OK
 *
 * When the jump does not fit into instructions that may be moved, but a hop does, the filler between this function and
 * the next takes the jump: instructions that do nothing, and that nobody comes to.
 *
 * Found to be entered: a branch in the function whose target lies before ret->end. Where an instruction is not known,
 * any byte behind it is taken for the beginning of one, so more is refused than must be. A branch from outside the
 * function to its middle, into the saving of registers, is nothing that a compiler makes.
 */
enum tb_prologue_answer tb_prologue_read(struct tb_bytes code, struct tb_prologue *ret);

/*
 * tb_prologue_move - writes what stands between p->at and p->end of the function at @from so that it does the same at
 * @to. Branches keep their targets, which must be within 2 GiB of both.
 *
 * @out  the bytes that will stand at @to: TB_PROLOGUE_MOVED of them
 *
 * Returns their number.
 */
size_t tb_prologue_move(const struct tb_prologue *p, const uint8_t *from, uintptr_t to, uint8_t *out);

/*
 * tb_prologue_length - the number of bytes of the instruction at @code, when it is one that may be moved, else 0. A
 * branch (jump on a condition) is one that needs tb_prologue_move.
 */
size_t tb_prologue_length(struct tb_bytes code, bool *ret_is_branch);

#endif
