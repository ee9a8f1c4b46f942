/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a connection, for whoever stores connections; exchange.c asserts it. */
#ifndef TB_CONN_H
#define TB_CONN_H
#define TB_CONN_BYTES 120u /* plus 8 in the fd index: 128 per open connection */
#endif
