/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of the executor's channel have in common: how layers are named. A name becomes a path component below layers/, so there
 * is no room for anything that a path could mean. */
#include "images/build/executor.h"

bool executor_is_layer_name(const char *name)
{
	const bool temporary = str_starts(name, ".tmp-");
	const char *digits = temporary ? name + strlen(".tmp-") : name;
	const size_t n = temporary ? 16 : 64;
	return strlen(digits) == n && strspn(digits, "0123456789abcdef") == n;
}
