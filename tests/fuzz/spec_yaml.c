/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a Compose file: the reader and the validator end, within their memory, and every diagnostic can be printed. */
#include "spec/diag.h"
#include "spec/schema.h"
#include "spec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	struct diags ds;
	struct node **docs = NULL;
	size_t n_docs = 0;
	AUTO_STR struct str text = { 0 };
	diags_init(&ds, a);
	if (yaml_parse(source_new(a, "compose.yaml", (const char *)data, n), &ds, &docs, &n_docs) == 0) {
		for (size_t i = 0; i < n_docs; i++)
			(void)schema_validate(docs[i], &ds);
	} else {
		assert(ds.n_errors > 0);
	}
	diags_sort(&ds);
	diags_render(&ds, "/", true, &text);
	arena_free(a);
	return 0;
}
