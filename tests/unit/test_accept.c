/* SPDX-License-Identifier: Apache-2.0 */
/* Accept and Accept-Encoding: tables of headers, among them what Prometheus 3.16 and curl send, and any bytes at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exporter/accept.h"

#define OM "application/openmetrics-text"
#define PB "application/vnd.google.protobuf"
#define PB_FULL PB ";proto=io.prometheus.client.MetricFamily;encoding=delimited"
#define TEXT_004 "text/plain; version=0.0.4; charset=utf-8; escaping="
#define TEXT_100 "text/plain; version=1.0.0; charset=utf-8; escaping="
#define OM_001 OM "; version=0.0.1; charset=utf-8; escaping="
#define OM_100 OM "; version=1.0.0; charset=utf-8; escaping="
#define OM_200 OM "; version=2.0.0; charset=utf-8; escaping="
#define PB_TYPE PB "; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping="

static void formats_are_chosen_by_the_accept_header(void **state)
{
    (void)state;
    static const struct {
        const char *accept, *type;
    } cases[] = {
        {NULL, TEXT_004 "underscores"},
        {"", TEXT_004 "underscores"},
        {"*/*", TEXT_004 "underscores"},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT_004 "underscores"},
        {"image/png", TEXT_004 "underscores"},
        /* Prometheus 3.16: default, with native histograms, with OpenMetrics 2.0; 2.42 */
        {OM ";version=1.0.0;escaping=allow-utf-8;q=0.7," OM
            ";version=0.0.1;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/"
            "*;q=0.3",
         OM_100 "allow-utf-8"},
        {PB_FULL ";q=0.7," OM ";version=1.0.0;escaping=allow-utf-8;q=0.6," OM
                 ";version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         PB_TYPE "underscores"},
        {OM ";version=2.0.0;escaping=allow-utf-8;q=0.8," OM ";version=1.0.0;escaping=allow-utf-8;q=0.7,*/*;q=0.3",
         OM_200 "allow-utf-8"},
        {OM ";version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         OM_100 "underscores"},
        /* versions: only what is named */
        {OM, OM_001 "underscores"},
        {OM ";version=0.0.1", OM_001 "underscores"},
        {OM ";version=2.0.0", OM_200 "allow-utf-8"},
        {OM ";version=2.0.0;escaping=dots", OM_200 "dots"},
        {OM ";version=3.0.0", TEXT_004 "underscores"},
        {OM ";version=3.0.0, " OM ";version=1.0.0;q=0.1", OM_100 "underscores"},
        {"text/plain", TEXT_004 "underscores"},
        {"text/plain;version=1.0.0", TEXT_100 "underscores"},
        {"text/plain;version=0.0.3, " OM ";version=1.0.0;q=0.5", OM_100 "underscores"},
        {"text/*;version=1.0.0;escaping=values", TEXT_100 "values"},
        {"application/*", TEXT_004 "underscores"},
        /* protobuf needs both of its parameters */
        {PB, TEXT_004 "underscores"},
        {PB ";proto=io.prometheus.client.MetricFamily", TEXT_004 "underscores"},
        {PB ";proto=io.prometheus.client.MetricFamily;encoding=text", TEXT_004 "underscores"},
        {PB ";proto=other;encoding=delimited", TEXT_004 "underscores"},
        {PB_FULL ";escaping=allow-utf-8", PB_TYPE "allow-utf-8"},
        /* two formats have no place for names in quotes */
        {"text/plain;version=0.0.4;escaping=allow-utf-8", TEXT_004 "underscores"},
        {OM ";version=0.0.1;escaping=allow-utf-8", OM_001 "underscores"},
        {"text/plain;version=0.0.4;escaping=values", TEXT_004 "values"},
        /* case, blanks, quotes */
        {" APPLICATION/OpenMetrics-Text ; Version = 1.0.0 ; ESCAPING=Dots ", OM_100 "dots"},
        {OM "\t;\tversion=\"1.0.0\"\t;q=\"0.5\"", OM_100 "underscores"},
        {"a/b;x=\"," OM ";version=1.0.0\", text/plain;version=1.0.0", TEXT_100 "underscores"},
        {",,;;," OM ";version=1.0.0;;,", OM_100 "underscores"},
        /* escaping: known ones, of the clause that won */
        {OM ";version=1.0.0;escaping=underscores", OM_100 "underscores"},
        {OM ";version=1.0.0;escaping=shouting", OM_100 "underscores"},
        {"image/png;escaping=dots, text/plain;q=0.1", TEXT_004 "underscores"},
        /* weights */
        {"text/plain;version=1.0.0;q=0.2, " OM ";version=1.0.0;q=0.9", OM_100 "underscores"},
        {OM ";version=1.0.0;q=0, text/plain;version=1.0.0;q=0.001", TEXT_100 "underscores"},
        {OM ";version=1.0.0;q=0", TEXT_004 "underscores"},
        {"*/*, " OM ";version=1.0.0", OM_100 "underscores"},
        {"text/*;version=1.0.0, text/plain", TEXT_004 "underscores"},
        {OM ";version=1.0.0;q=high", OM_100 "underscores"},
        {OM ";version=1.0.0;q=0.333, text/plain;q=0.334", TEXT_004 "underscores"},
        {OM ";version=1.0.0, text/plain;version=1.0.0", OM_100 "underscores"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *type = tb_accepted_type(tb_accept(cases[i].accept));
        if (strcmp(type, cases[i].type) != 0)
            fail_msg("%s: %s, not %s", cases[i].accept, type, cases[i].type);
        free(type);
    }
}

static void codings_are_chosen_by_accept_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum tb_coding coding;
    } cases[] = {
        {NULL, TB_CODING_IDENTITY},
        {"", TB_CODING_IDENTITY},
        {"gzip", TB_CODING_GZIP},
        {"zstd,gzip", TB_CODING_ZSTD}, /* Prometheus with zstd-scrape */
        {"identity", TB_CODING_IDENTITY},
        {"deflate, gzip, br, zstd", TB_CODING_ZSTD}, /* curl --compressed */
        {"deflate, br", TB_CODING_IDENTITY},
        {"gzip;q=0", TB_CODING_IDENTITY},
        {"gzip;q=0.0, zstd;q=0", TB_CODING_IDENTITY},
        {"gzip; q=0.5, identity; q=0.9", TB_CODING_IDENTITY},
        {"gzip;q=0.5, zstd;q=0.4", TB_CODING_GZIP},
        {"*", TB_CODING_GZIP},
        {"*;q=0", TB_CODING_IDENTITY},
        {"gzip, *;q=0", TB_CODING_GZIP},
        {"gzip;q=0, *", TB_CODING_IDENTITY},
        {"identity;q=0, *", TB_CODING_GZIP},
        {"identity;q=0", TB_CODING_IDENTITY},
        {"identity;q=0, zstd;q=0.001", TB_CODING_ZSTD},
        {"X-GZIP ; Q=1.000", TB_CODING_GZIP},
        {"gzip;q=1, identity;q=1", TB_CODING_GZIP},
        {"gzipped, zstdish", TB_CODING_IDENTITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (tb_accept_coding(cases[i].accept) != cases[i].coding)
            fail_msg("%s: %d", cases[i].accept, tb_accept_coding(cases[i].accept));
}

static void any_header_has_an_answer(void **state)
{
    (void)state;
    static const char *const words[] = {
        OM,    PB_FULL,   "text/plain", "*/*",           ";",    ",", "=",   "\"", "\\", " ", "q",
        "q=0", "version", "2.0.0",      "escaping=dots", "gzip", "*", "zstd"};
    unsigned seed = (unsigned)time(NULL);
    printf("# seed %u\n", seed);
    srand(seed);
    for (unsigned round = 0; round < 20000; round++) {
        struct tb_buffer b = {0};
        for (int n = rand() % 12; n >= 0; n--) {
            char any = (char)(1 + rand() % 255);
            if (rand() % 4)
                tb_puts(&b, words[(size_t)rand() % (sizeof words / sizeof *words)]);
            else
                tb_put(&b, &any, 1);
        }
        char *exact = tb_strndup(b.data, b.len); /* so that a sanitizer sees what reads beyond it */
        struct tb_accepted a = tb_accept(exact);
        assert_non_null(a.media->encoding);
        assert_non_null(tb_escaping_name(a.escaping));
        assert_in_range(tb_accept_coding(exact), TB_CODING_IDENTITY, TB_CODING_ZSTD);
        free(exact);
        tb_buffer_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_chosen_by_the_accept_header),
        cmocka_unit_test(codings_are_chosen_by_accept_encoding),
        cmocka_unit_test(any_header_has_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
