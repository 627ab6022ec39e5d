/* SPDX-License-Identifier: Apache-2.0 */
/* networks of the model as they are in the desired state (compose/desired.h). */
#ifndef COMPOSE_PROJECT_NETWORKS_H
#define COMPOSE_PROJECT_NETWORKS_H

#include "compose/project.h"

/* New reference. What is wrong with subnets and addresses becomes diagnostics in p->diags. */
json_t *project_networks(struct project *p);

#endif
