/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the log drivers. Sizes are powers of 1000 here, as docker reads those of its logs; `local` keeps five files of 20 MiB unless it is told
 * otherwise, json-file keeps everything. Files are not compressed, and a container waits when its log can't keep up: asking for just that is
 * fine. */
#include "spec/logging.h"

#include "spec/bytes.h"

const char *logging_option_fault(const char *name, const char *value)
{
	int64_t bytes;
	uint64_t n;
	if (strcmp(name, "max-size") == 0)
		return strcmp(value, "-1") == 0 || (bytes_parse_decimal(value, &bytes) && bytes > 0) ? NULL : "is no size: write 10m, 500k or 1g";
	if (strcmp(name, "max-file") == 0)
		return parse_u64(value, 1, LOGGING_MAX_FILES, &n) ? NULL : "is no number of files from 1 to 1000";
	if (strcmp(name, "compress") == 0)
		return strcmp(value, "false") == 0 ? NULL : "is not supported yet: logs are not compressed";
	if (strcmp(name, "mode") == 0)
		return strcmp(value, "blocking") == 0 ? NULL : "is not supported yet: a container waits for its log";
	return "not supported yet: max-size and max-file are";
}

static void take_option(struct model_logging *m, const char *name, const char *value)
{
	int64_t bytes;
	uint64_t n;
	if (logging_option_fault(name, value))
		return;
	if (strcmp(name, "max-size") == 0)
		m->max_bytes = bytes_parse_decimal(value, &bytes) && bytes > 0 ? (uint64_t)bytes : 0;
	if (strcmp(name, "max-file") == 0 && parse_u64(value, 1, LOGGING_MAX_FILES, &n))
		m->max_files = (unsigned)n;
}

int logging_read(const json_t *service, struct model_logging *ret)
{
	json_t *logging = json_object_get(service, "logging"), *driver = json_object_get(logging, "driver");
	json_t *options = json_object_get(logging, "options"), *value;
	const char *word = json_is_string(driver) ? json_string_value(driver) : "", *name;
	*ret = (struct model_logging){ .none = strcmp(word, "none") == 0, .max_files = 1 };
	if (strcmp(word, "local") == 0)
		*ret = (struct model_logging){ .max_bytes = 20 << 20, .max_files = 5 };
	if ((logging && !json_is_object(logging) && !json_is_null(logging)) || (driver && !json_is_string(driver) && !json_is_null(driver)) ||
	    (options && !json_is_object(options) && !json_is_null(options)))
		return -1;
	json_object_foreach(options, name, value)
		if (json_is_string(value))
			take_option(ret, name, json_string_value(value));
	return 0;
}
