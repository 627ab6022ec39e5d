/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the document of a build cache, and as the record in an image's configuration: every entry leads to a layer, and what is read,
 * written again, reads as the same. */
#include <stdio.h>

#include "images/build/cachefile.h"

static void check(const struct cachefile *f)
{
	for (size_t i = 0; i < f->n_entries; i++)
		if (f->entries[i].layer >= f->n_layers || strlen(f->entries[i].op) != 64 || !f->layers[f->entries[i].layer].diff_id[0])
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CACHEFILE struct cachefile f = {0}, again = {0}, image = {0};
	AUTO_JSON json_t *config = json_object();
	AUTO_FREE char *text = NULL, *inline_text = xstrndup((const char *)data, size);
	struct err err = {0};
	if (cachefile_parse((const char *)data, size, &f, &err) == 0) {
		check(&f);
		text = cachefile_make(&f);
		if (cachefile_parse(text, strlen(text), &again, &err) < 0 || again.n_entries != f.n_entries)
			abort();
	}
	cachefile_layer_of(&image, "1111111111111111111111111111111111111111111111111111111111111111");
	json_object_set_new(config, CACHEFILE_INLINE, json_text(inline_text));
	if (cachefile_parse_inline(config, &image, &err) == 0)
		check(&image);
	return 0;
}
