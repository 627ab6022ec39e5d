/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a path, two .gitattributes files (of the root, of the path's directory) and a file, cut at NUL bytes: nothing crashes, the file only grows
 * by what conversions add, and what has been converted stays as it is when it is converted again. */
#include <stdint.h>

#include "base/str.h"
#include "images/git_attr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *part(const uint8_t **data, size_t *size)
{
	const size_t n = strnlen((const char *)*data, *size);
	char *text = xstrndup((const char *)*data, n);
	*data += MIN(n + 1, *size);
	*size -= MIN(n + 1, *size);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char hex[] = "0123456789abcdef0123456789abcdef01234567";
	AUTO_FREE char *path = part(&data, &size), *root = part(&data, &size), *below = part(&data, &size), *dir = xstrdup(path);
	char *bytes = xcalloc(size + 1, 1), *slash = strrchr(dir, '/');
	struct git_attr *a = git_attr_push(NULL, "", root, strlen(root));
	size_t n = size, before = size, added = size + 1;
	bool encoded;
	struct err err;
	if (slash) {
		*slash = '\0';
		a = git_attr_push(a, dir, below, strlen(below));
	}
	if (size)
		memcpy(bytes, data, size);
	for (size_t i = 0; i < size; i++)
		added += bytes[i] == '$' ? sizeof(hex) + 4 : 0;
	for (int round = 0; round < 2 && git_attr_apply(a, path, hex, &bytes, &n, &encoded, &err) == 0; round++) {
		if ((round && n != before) || n > size + added || bytes[n])
			abort();
		before = n;
	}
	free(bytes);
	while (a)
		a = git_attr_pop(a);
	return 0;
}
