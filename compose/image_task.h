/* SPDX-License-Identifier: Apache-2.0 */
/* What muster-image does beside import, load and pull, in its jail: arguments in, an id or nothing out. Descriptor 0 is where output goes,
 * w->tree_fd the directory that export, commit and diff read. */
#ifndef COMPOSE_IMAGE_TASK_H
#define COMPOSE_IMAGE_TASK_H

#include "images/work.h"

/* argv[0] is the task's name, argv[1..argc) its arguments, made by compose/cmd_image_*.c:
 *   save [--format combined|docker-archive|oci-archive] [--compression none|gzip|zstd] IMAGE...
 *   verify [--repair]
 *   export ID | diff ID
 *   commit ID [--name N] [--author A] [--message M] [--created-by C] [--config JSON] [--change C]...
 * ret_id: of the image that was made, else left alone. 0 or -1 + err. */
int image_task_run(const struct work *w, int argc, char **argv, char ret_id[static 65], struct err *err);

#endif
