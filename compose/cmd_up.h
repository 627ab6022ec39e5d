/* SPDX-License-Identifier: Apache-2.0 */
/* What up, create, plan, scale and run share: reading the flags that shape a desired state. */
#ifndef COMPOSE_CMD_UP_H
#define COMPOSE_CMD_UP_H

#include "compose/cmd.h"

/* --scale SERVICE=NUM… into options. 0, or 1 after a message. */
int cmd_up_scale(struct app *app, json_t *options);

#endif
