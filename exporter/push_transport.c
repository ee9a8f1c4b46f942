/* SPDX-License-Identifier: Apache-2.0 */
/* The table of transports (push_transport.h). */
#include "push_transport.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boot.h"

bool tb_push_must_stop(const struct tb_push_stop *s)
{
    return atomic_load(&s->is_told) || tb_clock_ns(CLOCK_MONOTONIC) >= atomic_load(&s->after_ns);
}

const struct tb_push_transport *tb_push_transport_find(const struct tb_push_kind *kind)
{
    static const struct tb_push_transport *const transports[] = {&tb_push_cloudwatch_transport, &tb_push_emf_transport,
                                                                 &tb_push_otlp_transport,
                                                                 &tb_push_remote_write_transport};
    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++)
        if (strcmp(transports[i]->type, kind->type) == 0)
            return transports[i];
    abort(); /* a kind without one is a mistake in these tables */
}
