/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program file is, read from its bytes: enough to tell whether a preloaded object can observe it. Trusts
 * nothing in the file; reads with pread only, so a file cut meanwhile is an error and not a signal.
 */
#ifndef TB_ELF_FILE_H
#define TB_ELF_FILE_H

#include <stdbool.h>
#include <stdint.h>

enum tb_file_kind {
    TB_FILE_OTHER,  /* neither: a shell would take it for a script */
    TB_FILE_SCRIPT, /* starts with #! */
    TB_FILE_ELF,
    TB_FILE_BROKEN /* ELF, but contradicts itself */
};

enum tb_libc { TB_LIBC_UNKNOWN, TB_LIBC_GLIBC, TB_LIBC_MUSL };

#define TB_FILE_TEXT 256u /* bytes kept of a #! line (the kernel's limit) and of an interpreter's path */

struct tb_elf_file {
    enum tb_file_kind kind;
    uint16_t machine; /* EM_*; in the file's own byte order already */
    uint8_t bits;     /* 32 or 64 */
    bool is_foreign;  /* another byte order or word size than this command: what follows was not looked at */
    bool is_static;   /* no PT_INTERP: no dynamic loader runs, nothing can be preloaded */
    bool is_go;       /* the Go runtime is inside */
    bool has_own_tls; /* exports SSL_read itself: a TLS library is inside the executable */
    bool needs_libssl;
    bool needs_gnutls;
    bool needs_liburing;
    enum tb_libc libc;
    char interpreter[TB_FILE_TEXT]; /* PT_INTERP */
    char script[TB_FILE_TEXT];      /* behind #!, without leading and trailing blanks */
};

/*
 * tb_elf_file_read - inspect the file open on @fd.
 *
 * Returns 0 or -errno of a read that failed; *ret_file is untouched then. A file that is no ELF file or a broken one is
 * told by its kind.
 */
int tb_elf_file_read(int fd, struct tb_elf_file *ret_file);

/* tb_elf_machine_name - "x86-64", "i386", "arm64", ...; "machine N" in @buffer when it has no name here. */
const char *tb_elf_machine_name(uint16_t machine, uint8_t bits, char buffer[32]);

#endif
