/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter as an external extension of AWS Lambda: a process beside the function's, frozen with it. It pushes when
 * an invocation has ended and before it says that it is ready for the next; docs/lambda.md has the reasons.
 */
#ifndef TB_LAMBDA_H
#define TB_LAMBDA_H

#include "exporter.h"

/*
 * tb_lambda_run - register with the Extensions API (AWS_LAMBDA_RUNTIME_API), and serve its events until it says
 * SHUTDOWN. An exporter that could not be set up (@is_ready false) or has nothing to push to does the same without
 * pushing: Lambda ends the function of an extension that goes away.
 *
 * @e     e->options name the region directories
 * @name  the base name of the file that Lambda has started
 * Returns 0, or -errno when it could not register or the API went away; *ret_error says why, the caller's to free.
 */
int tb_lambda_run(struct tb_exporter *e, const char *name, bool is_ready, char **ret_error);

#endif
