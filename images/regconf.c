/* SPDX-License-Identifier: Apache-2.0 */
/* A prefix covers a name at the borders of its parts ("quay.io/team" does not cover "quay.io/teams/x"); of several the longest one counts;
 * "*.example.com" covers hosts below it. What the name has beyond the prefix is appended to the location. An alias says where a short
 * name is fetched from; the image keeps the name that it was asked for by. */
#include "images/regconf.h"

#include <stdio.h>

#include "base/toml.h"
#include "spec/imageref.h"

enum { MAX_REGISTRIES = 1000 };

static const char *prefix_of(const json_t *registry)
{
	return json_get_str(registry, "prefix", json_get_str(registry, "location", ""));
}

static int check_registry(const json_t *r, struct err *err)
{
	size_t i;
	json_t *m;
	if (!json_is_object(r) || !*prefix_of(r) || (str_starts(prefix_of(r), "*.") ? false : !*json_get_str(r, "location", "")))
		return err_set(err, ERR_INVALID, "a [[registry]] without location");
	if (json_object_get(r, "mirror") && !json_is_array(json_object_get(r, "mirror")))
		return err_set(err, ERR_INVALID, "mirror is no array of tables");
	json_array_foreach(json_object_get(r, "mirror"), i, m)
		if (!*json_get_str(m, "location", ""))
			return err_set(err, ERR_INVALID, "a [[registry.mirror]] without location");
	return 0;
}

static void add_registry(json_t *list, json_t *r)
{
	size_t i;
	json_t *old;
	json_array_foreach(list, i, old)
		if (strcmp(prefix_of(old), prefix_of(r)) == 0) {
			json_array_set(list, i, r);
			return;
		}
	json_array_append(list, r);
}

int regconf_add(json_t **conf, const char *text, size_t n, struct err *err)
{
	AUTO_JSON json_t *doc = NULL;
	json_t *list, *r, *value;
	const char *key;
	size_t i;
	if (toml_parse(text, n, &doc, err) < 0)
		return -1;
	list = json_object_get(doc, "registry");
	if ((list && !json_is_array(list)) || json_array_size(list) > MAX_REGISTRIES)
		return err_set(err, ERR_INVALID, "registry is no array of tables, or a very long one");
	if (json_object_get(doc, "registries"))
		return err_set(err, ERR_UNSUPPORTED, "version 1 of the format, [registries.…], is not supported");
	json_array_foreach(list, i, r)
		if (check_registry(r, err) < 0)
			return -1;
	if (!*conf) {
		*conf = json_object();
		json_object_set_new(*conf, "registry", json_array());
		json_object_set_new(*conf, "aliases", json_object());
	}
	json_array_foreach(list, i, r)
		add_registry(json_object_get(*conf, "registry"), r);
	json_object_foreach(json_object_get(doc, "aliases"), key, value)
		if (*json_get_str(json_object_get(doc, "aliases"), key, ""))
			json_object_set(json_object_get(*conf, "aliases"), key, value);
		else
			json_object_del(json_object_get(*conf, "aliases"), key);
	return 0;
}

/* What the alias of a short name says, NULL when the name is no short one or has none. The tag and the digest do not belong to it. */
static const char *find_alias(const json_t *conf, const char *name)
{
	size_t n = strcspn(name, "@"), host = strcspn(name, "/");
	AUTO_FREE char *plain = NULL;
	for (size_t i = host < n ? host : 0; i < n; i++)
		if (name[i] == ':')
			n = i;
	if (host < n && (memchr(name, '.', host) || memchr(name, ':', host) || strncmp(name, "localhost/", 10) == 0))
		return NULL;
	plain = xstrndup(name, n);
	return json_get_str(json_object_get(conf, "aliases"), plain, NULL);
}

/* How many bytes of "host/path" the prefix covers; 0 = none. */
static size_t covers(const char *prefix, const char *full)
{
	size_t n = strlen(prefix), host = strcspn(full, "/");
	if (str_starts(prefix, "*.")) { /* as containers/image has it: a port is part of the rest, unless the prefix names it */
		size_t end = strchr(prefix, ':') ? host : strcspn(full, ":/");
		return end > n - 1 && strncmp(full + end - (n - 1), prefix + 1, n - 1) == 0 ? end : 0;
	}
	return strncmp(full, prefix, n) == 0 && (full[n] == '/' || !full[n]) ? n : 0;
}

static int put_place(const char *location, const char *rest, bool insecure, bool mirror, struct place *ret, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_FREE char *full = xasprintf("%s%s", location, rest);
	AUTO_FREE char *host = xstrndup(full, strcspn(full, "/"));
	struct imageref ref;
	char shown[160];
	if (imageref_parse(full, a, &ref, NULL) < 0 || strcmp(ref.registry, host) != 0 || ref.tag || ref.digest ||
	    strlen(ref.registry) >= sizeof(ret->registry) || strlen(ref.repository) >= sizeof(ret->repository))
		return err_set(err, ERR_INVALID, "registries.conf: location \"%s\" is no place of a registry", err_quote(shown, sizeof(shown), full));
	*ret = (struct place){ .insecure = insecure, .mirror = mirror };
	snprintf(ret->registry, sizeof(ret->registry), "%s", ref.registry);
	snprintf(ret->repository, sizeof(ret->repository), "%s", ref.repository);
	return 0;
}

static bool mirror_serves(const json_t *registry, const json_t *mirror, bool digest)
{
	const char *which = json_get_str(mirror, "pull-from-mirror", json_get_bool(registry, "mirror-by-digest-only", false) ? "digest-only" : "all");
	return strcmp(which, "digest-only") == 0 ? digest : strcmp(which, "tag-only") == 0 ? !digest : true;
}

static int add_places(const json_t *registry, size_t covered, const char *full, bool push, bool digest, struct place *ret, size_t *ret_n, struct err *err)
{
	const char *rest = full + covered, *location = json_get_str(registry, "location", "");
	AUTO_FREE char *same = xstrndup(full, covered);
	char shown[160];
	size_t i, n = 0;
	json_t *m;
	if (json_get_bool(registry, "blocked", false))
		return err_set(err, ERR_DENIED, "registries.conf blocks \"%s\"", err_quote(shown, sizeof(shown), prefix_of(registry)));
	json_array_foreach(push ? NULL : json_object_get(registry, "mirror"), i, m)
		if (n + 1 < REGCONF_MAX_PLACES && mirror_serves(registry, m, digest) &&
		    put_place(json_get_str(m, "location", ""), rest, json_get_bool(m, "insecure", false), true, &ret[n++], err) < 0)
			return -1;
	if (put_place(*location ? location : same, rest, json_get_bool(registry, "insecure", false), false, &ret[n++], err) < 0)
		return -1;
	*ret_n = n;
	return 0;
}

int regconf_resolve(const json_t *conf, const char *name, bool push, struct place ret[static REGCONF_MAX_PLACES], size_t *ret_n,
	struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	const char *alias = conf && !push ? find_alias(conf, name) : NULL, *full;
	const json_t *best = NULL;
	struct imageref ref, asked;
	size_t i, covered = 0;
	json_t *r;
	if (imageref_parse(name, a, &asked, err) < 0)
		return -1;
	ref = asked;
	if (alias && imageref_parse(alias, a, &ref, err) < 0)
		return err_wrap(err, "registries.conf: alias");
	full = arena_printf(a, "%s/%s", ref.registry, ref.repository);
	json_array_foreach(json_object_get(conf, "registry"), i, r) {
		size_t n = covers(prefix_of(r), full);
		bool longer = best && strlen(prefix_of(r)) > strlen(prefix_of(best));
		if (n && (!best || longer)) {
			best = r;
			covered = n;
		}
	}
	if (best)
		return add_places(best, covered, full, push, asked.digest, ret, ret_n, err);
	*ret_n = 1;
	return put_place(ref.registry, full + strlen(ref.registry), false, false, &ret[0], err);
}
