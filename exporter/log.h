/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on stderr, one line each, as logfmt or JSON. One thread at a time. */
#ifndef TB_LOG_H
#define TB_LOG_H

enum tb_log_level { TB_LOG_DEBUG, TB_LOG_INFO, TB_LOG_WARN, TB_LOG_ERROR };
enum tb_log_format { TB_LOG_LOGFMT, TB_LOG_JSON };

void tb_log_setup(enum tb_log_level least, enum tb_log_format format);

/*
 * tb_log - one message.
 * @msg   a sentence without variable parts
 * then   pairs of const char * key and value, ended by NULL; a value may hold any bytes
 */
void tb_log(enum tb_log_level level, const char *msg, ...) __attribute__((sentinel));

#endif
