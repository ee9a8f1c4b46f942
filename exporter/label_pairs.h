/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels as protobuf has them: LabelPair messages, each in its field 1 (of Metric and of Exemplar), sorted by name.
 * Made once, when a sample is written into the exposition.
 */
#ifndef TB_LABEL_PAIRS_H
#define TB_LABEL_PAIRS_H

#include <stddef.h>

#define TB_LABELS_MAX 64u /* of a sample; further ones are left out */

/* tb_label_pairs_max - upper bound of what a text of @len bytes becomes. */
static inline size_t tb_label_pairs_max(size_t len)
{
    return len + TB_LABELS_MAX * 20;
}

/*
 * tb_label_pairs - from the text between the braces of the text format to pairs.
 * @to  tb_label_pairs_max(len) bytes of room
 * Returns the end of what was written. Pure.
 */
char *tb_label_pairs(char *to, const char *text, size_t len);

#endif
