/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the long-lived processes, one line each to a descriptor (default 2): "time name[pid]: text". */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/util.h"

/* name: static string. fd is not owned. */
void log_init(const char *name, int fd);
void log_warn(const char *fmt, ...) PRINTF(1, 2);
void log_info(const char *fmt, ...) PRINTF(1, 2);

#endif
