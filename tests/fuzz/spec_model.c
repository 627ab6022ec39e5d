/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a project: up to three parts, divided by lines of "=====", are a compose file, one that overrides it and an env
 * file; "#v", "#s" and "#t" at the very beginning keep variables, select services, and explain every value. What loads must print as
 * YAML, and what that prints must print the same again (the first time may differ: an empty context counts as none; so may a $ in a
 * key, which is written as $$ and not read so); what does not load must say why. */
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "spec/canon.h"
#include "spec/explain.h"
#include "spec/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct part {
	int fd;
	char path[40];
};

static void part_open(struct part *p, const char *text, size_t n)
{
	struct err err;
	p->fd = memfd_create("part", MFD_CLOEXEC);
	assert(p->fd >= 0 && fs_write_all(p->fd, text, n, &err) == 0);
	snprintf(p->path, sizeof(p->path), "/proc/self/fd/%d", p->fd);
}

/* What else `config` can print; the explanation of everything, with mode t. */
static void print_lists(const struct load_result *r, char mode)
{
	AUTO_STRV struct strv names = { 0 };
	AUTO_STR struct str text = { 0 };
	struct err err;
	canon_services(r, &names);
	canon_volumes(r, &names);
	canon_images(r, &names);
	canon_variables(r, &text);
	(void)canon_hash(r, NULL, &names, &err);
	if (mode == 't') {
		assert(explain_text(r, ".", "/", &text, &err) == 0 || err.code == ERR_UNSUPPORTED);
		(void)explain_text(r, "services.wob", "/", &text, &err);
	}
}

/* The canonical text, or false when the files say something that cannot be loaded. */
static bool canonical(const char *const *files, const char *const *env_files, char mode, struct str *ret)
{
	static const char *const env[] = { "HOME=/home/somebody", "FOO=foo", "A=1", "EMPTY=", NULL }, *const profiles[] = { "*", NULL },
		*const some[] = { "a", "w*", NULL };
	struct load_options opts = { .files = files, .env_files = env_files, .environ = env, .working_dir = "/nonexistent", .project_name = "fuzz",
		.profiles = profiles };
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str text = { 0 };
	struct load_result r;
	struct diags ds;
	struct err err;
	bool loaded;
	opts.no_interpolate = mode == 'v';
	opts.services = mode == 's' ? some : NULL;
	opts.trace = mode == 't';
	diags_init(&ds, a);
	loaded = load_project(&opts, &r, &ds) == 0;
	assert(loaded || ds.n_errors > 0);
	diags_sort(&ds);
	diags_render(&ds, "/", true, &text);
	json_decref(diags_json(&ds));
	if (!loaded)
		return false;
	loaded = canon_yaml(&r, ret, &err) == 0;
	str_clear(&text);
	(void)canon_json(&r, &text, &err);
	print_lists(&r, mode);
	load_result_done(&r);
	return loaded;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char line[] = "\n=====\n";
	const char *at = (const char *)data, *end = at + n;
	const char *files[3] = { NULL }, *env_files[2] = { "/dev/null" }, *none[2] = { "/dev/null" };
	struct part parts[6];
	AUTO_STR struct str once = { 0 }, twice = { 0 };
	char mode = n > 1 && data[0] == '#' ? (char)data[1] : 0;
	size_t n_parts = 0;
	while (n_parts < 3 && at <= end) {
		const char *cut = n_parts < 2 && at < end ? memmem(at, (size_t)(end - at), line, sizeof(line) - 1) : NULL;
		part_open(&parts[n_parts++], at, (size_t)((cut ? cut : end) - at));
		at = cut ? cut + sizeof(line) - 1 : end + 1;
	}
	for (size_t i = 0; i < n_parts; i++)
		*(i < 2 ? &files[i] : &env_files[0]) = parts[i].path;
	for (int pass = 0; pass < 3 && canonical(files, pass ? none : env_files, pass ? 0 : mode, &once); pass++) {
		if (pass == 2 && !strchr(str_get(&once), '$') && strcmp(str_get(&once), str_get(&twice)) != 0) {
			fprintf(stderr, "--- once\n%s--- twice\n%s", str_get(&twice), str_get(&once));
			abort();
		}
		part_open(&parts[n_parts], str_get(&once), once.len);
		files[0] = parts[n_parts++].path;
		files[1] = NULL;
		str_clear(&twice);
		str_add(&twice, str_get(&once));
		str_clear(&once);
	}
	for (size_t i = 0; i < n_parts; i++)
		close(parts[i].fd);
	return 0;
}
