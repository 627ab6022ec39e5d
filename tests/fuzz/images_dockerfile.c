/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a Dockerfile: parsed, made instructions of, expanded as a build would, checked and printed. What stands behind a byte 1 is the
 * .dockerignore. A file without errors gives the same parse when its dump is made twice, and every place lies in the file. */
#include "images/build/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_instructions(struct arena *a, const struct dockerfile *df)
{
	struct diags ds;
	struct instructions *all;
	diags_init(&ds, a);
	if (instruction_parse(a, df, &ds, &all) < 0)
		return;
	assert(all->n_stages > 0);
	for (size_t i = 0; i < all->n_stages; i++) {
		for (size_t k = 0; k < all->stages[i].n; k++) {
			struct instruction *in = all->stages[i].v[k], *again;
			struct instruction_script script;
			struct diags inner;
			assert(in->pos.line >= 1 && in->first_line <= in->last_line);
			diags_init(&inner, a);
			if (in->kind == INSTRUCTION_RUN)
				instruction_script(a, &in->command, &script);
			if (in->kind == INSTRUCTION_ONBUILD)
				(void)instruction_parse_trigger(a, "trigger", in->text, &inner, &again);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	AUTO_IGNORE struct ignore *ignore = NULL;
	AUTO_STR struct str text = { 0 }, once = { 0 }, twice = { 0 };
	const char *p = (const char *)data, *split = n ? memchr(p, 1, n) : NULL;
	struct expand_env args = { 0 };
	struct check_options opt = {
		.expand = { .build_args = &args, .build = { "linux", "amd64", "" }, .target = { "linux", "arm", "v7" }, .target_stage = "" },
	};
	const struct source *src;
	struct check_report *report;
	struct dockerfile *df;
	struct diags ds;
	if (split)
		opt.ignore = ignore = ignore_parse(split + 1, n - (size_t)(split + 1 - p), NULL);
	src = source_new(a, "Dockerfile", p, split ? (size_t)(split - p) : n);
	expand_env_add(&args, "A=1");
	expand_env_add(&args, "HTTP_PROXY=p");
	diags_init(&ds, a);
	if (dockerfile_parse(a, src, &ds, &df) == 0)
		try_instructions(a, df);
	else
		assert(ds.n_errors > 0);
	dockerfile_dump(df, &once);
	dockerfile_dump(df, &twice);
	assert(str_eq(str_get(&once), str_get(&twice)));
	diags_init(&ds, a);
	check_dockerfile(a, src, &opt, &ds, &report);
	check_render(report, &text);
	json_decref(check_json(report));
	for (size_t i = 0; i < ds.n; i++)
		assert(!ds.v[i].pos.src || (ds.v[i].pos.line >= 1 && (size_t)ds.v[i].pos.line <= ds.v[i].pos.src->n_lines));
	expand_env_done(&args);
	arena_free(a);
	return 0;
}
