/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image configuration and, cut at a NUL byte, as instructions of --change: nothing crashes, and whatever a
 * change was taken to is a configuration that reads back. */
#include "images/config.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char diff_id[] = "1111111111111111111111111111111111111111111111111111111111111111";
	struct image img = {0};
	struct err err;
	json_t *config = image_config_new(diff_id, "2020-01-01T00:00:00Z", NULL);
	char *text = xstrndup("", 0);
	if (image_config_parse((const char *)data, size, &img, &err) == 0)
		image_done(&img);
	for (size_t at = 0; at < size;) {
		size_t n = strnlen((const char *)data + at, size - at);
		char *line = xcalloc(n + 1, 1);
		memcpy(line, data + at, n);
		image_config_change(config, line, &err);
		free(line);
		at += n + 1;
	}
	free(text);
	text = json_canonical(config);
	if (strlen(text) < IMAGE_MAX_CONFIG_BYTES && image_config_parse(text, strlen(text), &img, &err) < 0)
		abort();
	image_done(&img);
	free(text);
	json_decref(config);
	return 0;
}
