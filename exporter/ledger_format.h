/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's bytes: a header with version, length and checksum, then records {type, length, content} in the machine's
 * byte order, each padded to 8 bytes. Readers skip record types that they do not know. Services are numbered by their
 * order in the file, and so are bound sets. Used by ledger_file.c and ledger_write.c.
 */
#ifndef TB_LEDGER_FORMAT_H
#define TB_LEDGER_FORMAT_H

#include "buffer.h"
#include "ledger.h"

#define LEDGER_MAGIC UINT64_C(0x524547444c425431)
#define LEDGER_VERSION 1u
#define CELLS_MAX 4096u /* of a series; far above any bound set */

enum record_type {
    RECORD_SERVICE = 1,
    RECORD_SERIES = 2,
    RECORD_MARK = 3,
    RECORD_OWNER = 4,
    RECORD_BOUNDS = 5, /* a bound set, before the series that have it */
    RECORD_CHOSEN = 6  /* about the series before it */
};

struct file_header {
    uint64_t magic;
    uint32_t version;
    uint32_t reserved;
    uint64_t sequence;
    uint64_t length;   /* bytes after the header */
    uint64_t checksum; /* of them */
};
struct record_head {
    uint32_t type;
    uint32_t length; /* of the content, without padding */
};
struct service_record {
    uint64_t created_ns;
    uint32_t counters; /* number of uint64_t that follow; then the name */
    uint32_t name_len;
};
struct series_record {
    uint32_t service;
    uint8_t family, role, method, bound_set;
    uint16_t status, route_len, target_len, ext_len;
    uint32_t cells;  /* of struct cell_record that follow; then route, target and ext */
    uint32_t bounds; /* where bound_set is TB_SET_FIRST: the number of the bounds_record, from 0 */
    uint64_t created_ns;
    uint64_t sum_ns, first_byte_ns, rx_bytes, tx_bytes, incomplete, untimed;
};
/* By bound, not by number: so a ledger outlives the way that a version numbers its cells. */
struct cell_record {
    uint64_t upper_ns;
    uint64_t count; /* modulo 2^64, never 0 */
};
struct bounds_record {
    uint32_t unit;  /* enum tb_unit */
    uint32_t count; /* of uint64_t that follow: ticks */
};
struct chosen_record {
    uint64_t chosen_ns;
    uint64_t retired;
};
struct mark_record {
    uint64_t region_id, generation, when_ns;
    uint8_t boot_id[16];
    uint32_t kind, service;
    uint32_t uid, reserved;
};

/* Whose a service is (users.h); none: of an earlier version, the next region decides. */
struct owner_record {
    uint32_t service;
    uint32_t uid;
};

/* tb_ledger_write_records - ledger_write.c: append all records. */
void tb_ledger_write_records(struct tb_buffer *b, const struct tb_ledger *l, const struct tb_snapshot *s);

#endif
