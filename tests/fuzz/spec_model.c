/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a project: up to three parts, divided by lines of "=====", are a compose file, one that overrides it and an env file. What
 * loads must print as YAML, and what that prints must print the same again (the first time may differ: an empty context
 * counts as none; so may a $ in a key, which is written as $$ and not read so);
 * what does not load must say why. */
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "spec/canon.h"
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

/* The canonical text, or false when the files say something that cannot be loaded. */
static bool canonical(const char *const *files, const char *const *env_files, struct str *ret)
{
	static const char *const env[] = { "HOME=/home/somebody", "FOO=foo", "A=1", "EMPTY=", NULL }, *const profiles[] = { "*", NULL };
	struct load_options opts = { .files = files, .env_files = env_files, .environ = env, .working_dir = "/nonexistent", .project_name = "fuzz",
		.profiles = profiles };
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str text = { 0 };
	struct load_result r;
	struct diags ds;
	struct err err;
	bool loaded;
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
	size_t n_parts = 0;
	while (n_parts < 3 && at <= end) {
		const char *cut = n_parts < 2 && at < end ? memmem(at, (size_t)(end - at), line, sizeof(line) - 1) : NULL;
		part_open(&parts[n_parts++], at, (size_t)((cut ? cut : end) - at));
		at = cut ? cut + sizeof(line) - 1 : end + 1;
	}
	for (size_t i = 0; i < n_parts; i++)
		*(i < 2 ? &files[i] : &env_files[0]) = parts[i].path;
	for (int pass = 0; pass < 3 && canonical(files, pass ? none : env_files, &once); pass++) {
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
