/* SPDX-License-Identifier: Apache-2.0 */
/* A service's `logging`: the drivers json-file and local, whose options and defaults are docker's (what the files look like is nobody's but ours),
 * and none. */
#ifndef SPEC_LOGGING_H
#define SPEC_LOGGING_H

#include "base/json.h"

struct model_logging {
	bool none;            /* nothing is kept */
	uint64_t max_bytes;   /* of one file; 0: no limit */
	unsigned max_files;   /* at least 1 */
};

enum { LOGGING_MAX_FILES = 1000 };

/* NULL when the option may be asked for; else what is wrong with it, a static text; with "is …" it speaks of the value. */
const char *logging_option_fault(const char *name, const char *value);
/* From a canonical service. 0, or -1 when that is malformed; an option that has a fault is as good as absent. */
int logging_read(const json_t *service, struct model_logging *ret);

#endif
