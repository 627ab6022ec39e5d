/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a manifest or an index: what is read as an image, written again, reads as the same image. */
#include <stdio.h>

#include "images/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const platforms[] = { "linux/amd64", "linux/arm/v7", "linux/arm64", "linux/386" };
	struct manifest *m = xcalloc(2, sizeof(*m));
	struct descriptor choice;
	struct platform p;
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_SIZE(platforms); i++) {
		AUTO_FREE char *text = NULL;
		int rc;
		if (manifest_parse_platform(platforms[i], &p, &err) < 0)
			abort();
		rc = manifest_parse((const char *)data, size, &p, &m[0], &choice, &err);
		if (rc == 1 && !manifest_digest_hex(choice.digest))
			abort();
		if (rc != 0)
			continue;
		text = manifest_make(&m[0].config, m[0].layers, m[0].n_layers);
		if (manifest_parse(text, strlen(text), &p, &m[1], &choice, &err) != 0 || m[1].n_layers != m[0].n_layers ||
		    memcmp(&m[1].config, &m[0].config, sizeof(m[0].config)) != 0 || memcmp(m[1].layers, m[0].layers, sizeof(m[0].layers)) != 0)
			abort();
	}
	free(m);
	return 0;
}
