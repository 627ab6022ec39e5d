/* SPDX-License-Identifier: Apache-2.0 */
/* The child's half of a start, between clone3 and exec. */
#ifndef RUNTIME_CONTAINER_CHILD_H
#define RUNTIME_CONTAINER_CHILD_H

#include "runtime/container.h"

/* Everything that the child does; reports by sync_fd (runtime/report.h). `cloned`: it was born in its v2 cgroup. */
_Noreturn void container_child_run(const struct container_spec *spec, int sync_fd, bool cloned);

#endif
