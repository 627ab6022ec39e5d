/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of cache_from and cache_to, as buildx writes them: fields separated by commas, "key=value", the first one without a type a reference. Each
 * kind has its attributes; one that it does not have, or that is not honoured here, is refused by name. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/build_request.h"
#include "spec/imageref.h"

enum { MAX_LEVEL = 22 };

struct entry {
	struct build_spec *spec;
	struct strv fields;
	const char *type;
	char quoted[200];
	bool to;
	json_t *j;             /* what the builder gets */
};

/* The value of a field, in the entry's own copy; NULL when it is not there. */
static const char *member(const struct entry *e, const char *key)
{
	size_t n = strlen(key);
	for (size_t i = 0; i < e->fields.n; i++)
		if (strncmp(e->fields.v[i], key, n) == 0 && e->fields.v[i][n] == '=')
			return e->fields.v[i] + n + 1;
	return NULL;
}

static void split(const char *entry, struct strv *ret)
{
	while (*entry) {
		size_t n = strcspn(entry, ",");
		AUTO_FREE char *field = xstrndup(entry + strspn(entry, " "), n - MIN(n, strspn(entry, " ")));
		strv_push(ret, field);
		entry += n + (entry[n] == ',');
	}
}

/* Which attributes are there: of both directions, of cache_from, of cache_to. */
static const struct {
	const char *type, *from, *to;
} kinds[] = {
	{ "registry", "type ref", "type ref mode image-manifest oci-mediatypes compression compression-level force-compression ignore-error" },
	{ "local", "type src tag digest",
	  "type dest tag mode image-manifest oci-mediatypes compression compression-level force-compression ignore-error" },
	{ "inline", NULL, "type mode" },
};

static bool has_word(const char *words, const char *word, size_t n)
{
	for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
		if (strcspn(p, " ") == n && strncmp(p, word, n) == 0)
			return true;
	return false;
}

/* Is the kind known, and each attribute one of its? 0 or -1 + err. */
static int check_fields(const struct entry *e, struct err *err)
{
	const char *words = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(e->type, kinds[i].type) == 0)
			words = e->to ? kinds[i].to : kinds[i].from;
	if (!words)
		return err_set(err, ERR_UNSUPPORTED, "\"%s\": this type of cache is not supported: there are type=registry,ref=NAME, type=local,%s=DIRECTORY%s",
			e->quoted, e->to ? "dest" : "src", e->to ? " and type=inline" : "");
	for (size_t i = 0; i < e->fields.n; i++) {
		const char *f = e->fields.v[i];
		char quoted[80];
		if (!strchr(f, '='))
			return err_set(err, ERR_INVALID, "\"%s\": \"%s\" is not of the form key=value", e->quoted, err_quote(quoted, sizeof(quoted), f));
		if (!has_word(words, f, strcspn(f, "=")))
			return err_set(err, ERR_UNSUPPORTED, "\"%s\": type=%s has no attribute \"%s\" here", e->quoted, e->type,
				err_quote(quoted, sizeof(quoted), f));
	}
	return 0;
}

/* A boolean attribute to `as`, when it is there. */
static int put_bool(const struct entry *e, const char *key, const char *as, struct err *err)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	const char *text = member(e, key);
	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			if (as)
				json_object_set_new(e->j, as, json_boolean(strcmp(text, yes[i]) == 0));
			return 0;
		}
	return err_set(err, ERR_INVALID, "\"%s\": %s is neither true nor false", e->quoted, key);
}

/* How it is written. */
static int put_options(const struct entry *e, struct err *err)
{
	const char *mode = member(e, "mode"), *compression = member(e, "compression"), *level = member(e, "compression-level");
	const bool gzip = !compression || strcmp(compression, "gzip") == 0;
	uint64_t n;
	if (mode && strcmp(mode, "min") != 0 && strcmp(mode, "max") != 0)
		return err_set(err, ERR_INVALID, "\"%s\": mode is min or max", e->quoted);
	json_put_str(e->j, "mode", mode);
	if (compression && strcmp(compression, "uncompressed") == 0)
		compression = "none";
	if (!gzip && strcmp(compression, "zstd") != 0 && strcmp(compression, "none") != 0)
		return err_set(err, ERR_UNSUPPORTED, "\"%s\": compression is gzip, zstd or uncompressed", e->quoted);
	json_put_str(e->j, "compression", compression);
	if (level && !parse_u64(level, 0, MAX_LEVEL, &n))
		return err_set(err, ERR_INVALID, "\"%s\": compression-level is a number up to %d", e->quoted, MAX_LEVEL);
	if (level)
		json_put_int(e->j, "level", (int64_t)(gzip ? MIN(n, 9U) : n));
	if (put_bool(e, "image-manifest", "image_manifest", err) < 0 || put_bool(e, "oci-mediatypes", "oci", err) < 0 ||
	    put_bool(e, "ignore-error", "ignore_error", err) < 0 || put_bool(e, "force-compression", NULL, err) < 0) /* every layer is packed anew */
		return -1;
	if (json_get_bool(e->j, "oci", true))
		return 0;
	if (!gzip)
		return err_set(err, ERR_UNSUPPORTED, "\"%s\": without oci-mediatypes there is gzip only", e->quoted);
	if (json_get_bool(e->j, "image_manifest", false))
		return err_set(err, ERR_INVALID, "\"%s\": image-manifest needs oci-mediatypes", e->quoted);
	json_object_set_new(e->j, "image_manifest", json_false());
	return 0;
}

static int add_inline(const struct entry *e, struct err *err)
{
	const char *mode = member(e, "mode");
	if (mode && strcmp(mode, "min") != 0)
		return err_set(err, ERR_UNSUPPORTED, "\"%s\": an inline cache has mode=min only: what is not in the image cannot be in it", e->quoted);
	json_object_set_new(e->spec->request, "inline_cache", json_true());
	return 0;
}

static int add_registry(const struct entry *e, struct err *err)
{
	const char *ref = member(e, "ref");
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref parsed;
	if (!ref || !*ref)
		return err_set(err, ERR_INVALID, "\"%s\": ref=NAME is missing", e->quoted);
	if (imageref_parse(ref, a, &parsed, err) < 0)
		return err_wrap(err, "\"%s\"", e->quoted);
	if (e->to && parsed.digest)
		return err_set(err, ERR_INVALID, "\"%s\": a digest cannot be written to, a tag can", e->quoted);
	json_object_set_new(e->j, "ref", json_text(ref));
	json_object_set_new(e->j, "name", json_text(e->to ? "registry" : ref));
	return 0;
}

/* A directory that is not there is a warning of the builder's. */
static int add_source_directory(const struct entry *e, const char *dir, struct err *err)
{
	struct err missing = { 0 };
	int fd = fs_open_dir(AT_FDCWD, dir, &missing), at;
	json_put_str(e->j, "digest", member(e, "digest"));
	if (fd < 0) {
		json_object_set_new(e->j, "missing", json_text(missing.msg));
		return 0;
	}
	at = build_spec_fd(e->spec, fd, err);
	if (at < 0)
		return -1;
	json_put_int(e->j, "fd", at);
	return 0;
}

static int add_local(const struct entry *e, struct err *err)
{
	const char *dir = member(e, e->to ? "dest" : "src");
	char cwd[PATH_MAX];
	if (!dir || !*dir)
		return err_set(err, ERR_INVALID, "\"%s\": %s=DIRECTORY is missing", e->quoted, e->to ? "dest" : "src");
	if (member(e, "tag"))
		json_object_set_new(e->j, "tag", json_text(member(e, "tag")));
	if (!e->to) {
		json_object_set_new(e->j, "name", json_text(dir));
		return add_source_directory(e, dir, err);
	}
	if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(err, errno, "working directory");
	json_object_set_new(e->j, "name", json_string("local directory"));
	json_put_int(e->j, "dest", (int64_t)e->spec->cache_dirs.n);
	strv_take(&e->spec->cache_dirs, *dir == '/' ? xstrdup(dir) : xasprintf("%s/%s", cwd, dir));
	return 0;
}

static int add(struct entry *e, struct err *err)
{
	if (check_fields(e, err) < 0)
		return -1;
	if (strcmp(e->type, "inline") == 0)
		return add_inline(e, err);
	if (e->to && put_options(e, err) < 0)
		return -1;
	return strcmp(e->type, "registry") == 0 ? add_registry(e, err) : add_local(e, err);
}

int build_request_cache(struct build_spec *s, const char *entry, bool to, struct err *err)
{
	struct entry e = { .spec = s, .to = to, .j = json_object() };
	const char *key = to ? "cache_to" : "cache_from";
	json_t *list = json_object_get(s->request, key);
	int rc;
	err_quote(e.quoted, sizeof(e.quoted), entry);
	if (!strchr(entry, '=') && !strchr(entry, ',')) {
		strv_push(&e.fields, "type=registry");
		strv_pushf(&e.fields, "ref=%s", entry);
	} else {
		split(entry, &e.fields);
	}
	e.type = member(&e, "type");
	if (!e.type)
		rc = err_set(err, ERR_INVALID, "\"%s\": type is missing", e.quoted);
	else
		rc = add(&e, err);
	if (rc == 0 && strcmp(e.type, "inline") != 0) {
		json_object_set_new(e.j, "type", json_text(e.type));
		if (!list)
			json_object_set_new(s->request, key, list = json_array());
		json_array_append(list, e.j);
	}
	json_decref(e.j);
	strv_done(&e.fields);
	return rc;
}
