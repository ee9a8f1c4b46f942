/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of protobuf messages, appended to a buffer. A message within one is made first and put in as text. */
#ifndef TB_PROTOBUF_WRITE_H
#define TB_PROTOBUF_WRITE_H

#include "buffer.h"
#include "varint.h"

static inline void tb_protobuf_varint(struct tb_buffer *b, uint64_t n)
{
    b->len = (size_t)(tb_varint_write(tb_buffer_room(b, TB_VARINT_MAX), n) - b->data);
}

static inline void tb_protobuf_number(struct tb_buffer *b, unsigned field, uint64_t n)
{
    tb_protobuf_varint(b, field << 3);
    tb_protobuf_varint(b, n);
}

static inline void tb_protobuf_zigzag(struct tb_buffer *b, unsigned field, int32_t n)
{
    tb_protobuf_number(b, field, (uint32_t)n << 1 ^ (uint32_t)(n >> 31));
}

/* Little endian, as every machine that this runs on. */
static inline void tb_protobuf_fixed(struct tb_buffer *b, unsigned field, uint64_t n)
{
    tb_protobuf_varint(b, field << 3 | 1);
    tb_put(b, (const char *)&n, sizeof n);
}

static inline void tb_protobuf_real(struct tb_buffer *b, unsigned field, double value)
{
    uint64_t n;
    memcpy(&n, &value, sizeof n);
    tb_protobuf_fixed(b, field, n);
}

static inline void tb_protobuf_bytes(struct tb_buffer *b, unsigned field, const char *bytes, size_t len)
{
    tb_protobuf_varint(b, field << 3 | 2);
    tb_protobuf_varint(b, len);
    tb_put(b, bytes, len);
}

static inline void tb_protobuf_text(struct tb_buffer *b, unsigned field, const char *text)
{
    tb_protobuf_bytes(b, field, text, strlen(text));
}

/* @message is empty afterwards. */
static inline void tb_protobuf_message(struct tb_buffer *b, unsigned field, struct tb_buffer *message)
{
    tb_protobuf_bytes(b, field, message->data, message->len);
    message->len = 0;
}

#endif
