/* SPDX-License-Identifier: Apache-2.0 */
/* Has a file changed since it was last read? By what stat(2) says of it: nothing is opened, nothing is watched. */
#ifndef TB_FILE_LOOK_H
#define TB_FILE_LOOK_H

#include <stdint.h>

/* tb_file_look - what @path looks like now, mixed into @h, so that one number stands for several files. A file that
 * cannot be looked at has a look, too. */
uint64_t tb_file_look(const char *path, uint64_t h);

#endif
