/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of anybody's making over a fixed row: none crashes, none runs away, and what compiles also gives headings. */
#include "compose/template.h"

static const char row_text[] =
	"{\"Name\":\"web-1\",\"Ports\":[80,443],\"Labels\":{\"b\":\"2\",\"a\":\"1\"},\"Net\":{\"IP\":\"10.0.0.2\",\"Peers\":[{\"ID\":\"x\"}]},"
	"\"N\":null,\"R\":1.5}";

static void heading(void *arg, const char *field, struct str *ret)
{
	(void)arg;
	str_add(ret, field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_FREE char *text = xstrndup((const char *)data, n);
	AUTO_JSON json_t *row = json_loads(row_text, 0, NULL);
	AUTO_STR struct str out = {0}, head = {0};
	struct err err = {0};
	struct template *t = template_new(text, &err);
	if (!t) {
		assert(err.code == ERR_INVALID && err.msg[0]);
		return 0;
	}
	template_headings(t, heading, NULL, &head);
	template_render(t, row, &out, &err);
	template_free(t);
	return 0;
}
