/* SPDX-License-Identifier: Apache-2.0 */
/* The diff works on the canonical JSON itself, never on a hash: a new release that learns a key does not recreate anybody's database,
 * because a key that neither side has is equal. Each key has a class; a key that the table does not name takes a new container.
 * Values of the environment are not shown: they hold passwords. */
#include "compose/plan_diff.h"

enum key_class { KEY_IGNORED, KEY_IN_PLACE, KEY_RECREATE, KEY_DEPLOY };

static const struct {
	const char *key;
	enum key_class class;
} key_classes[] = {
	{ "attach", KEY_IGNORED },         { "build", KEY_IGNORED },       { "depends_on", KEY_IGNORED },  { "develop", KEY_IGNORED },
	{ "expose", KEY_IGNORED },         { "profiles", KEY_IGNORED },    { "pull_policy", KEY_IGNORED }, { "scale", KEY_IGNORED },
	{ "pull_refresh_after", KEY_IGNORED },
	{ "image", KEY_IGNORED },          { "annotations", KEY_IGNORED }, { "env_file", KEY_IGNORED },    { "label_file", KEY_IGNORED },
	{ "cpus", KEY_IN_PLACE },          { "labels", KEY_IN_PLACE },     { "mem_limit", KEY_IN_PLACE },  { "pids_limit", KEY_IN_PLACE },
	{ "restart", KEY_IN_PLACE },       { "stop_grace_period", KEY_IN_PLACE },                          { "stop_signal", KEY_IN_PLACE },
	{ "deploy", KEY_DEPLOY },
};

static enum key_class classify(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_classes); i++)
		if (strcmp(key_classes[i].key, key) == 0)
			return key_classes[i].class;
	return strncmp(key, "x-", 2) == 0 ? KEY_IGNORED : KEY_RECREATE;
}

static bool same(const json_t *a, const json_t *b)
{
	if (json_is_null(a))
		a = NULL;
	if (json_is_null(b))
		b = NULL;
	return a == b || (a && b && json_equal(a, b));
}

static void reason_sep(struct str *s)
{
	if (s->len)
		str_add(s, ", ");
}

/* At most 40 characters of a value. */
static void reason_value(struct str *s, const json_t *v)
{
	AUTO_FREE char *text = json_canonical(v);
	if (strlen(text) > 40)
		str_addf(s, "%.37s...", text);
	else
		str_add(s, text);
}

/* For maps, names the first member that differs. */
static void reason_key(struct str *s, const char *key, const json_t *old, const json_t *new)
{
	const char *k;
	json_t *v;
	reason_sep(s);
	if (json_is_object(old) && json_is_object(new)) {
		json_object_foreach((json_t *)(uintptr_t)new, k, v)
			if (!same(json_object_get(old, k), v)) {
				str_addf(s, "%s.%s %s", key, k, json_object_get(old, k) ? "changed" : "added");
				return;
			}
		json_object_foreach((json_t *)(uintptr_t)old, k, v)
			if (!json_object_get(new, k)) {
				str_addf(s, "%s.%s removed", key, k);
				return;
			}
	}
	str_addf(s, "%s ", key);
	if (!old || json_is_null(old)) {
		str_add(s, "added");
	} else if (!new || json_is_null(new)) {
		str_add(s, "removed");
	} else if (json_is_object(old) || json_is_object(new) || strcmp(key, "environment") == 0) {
		str_add(s, "changed");
	} else {
		reason_value(s, old);
		str_add(s, " -> ");
		reason_value(s, new);
	}
}

/* deploy: only the limits reach a container, and those in place. */
static enum diff_class diff_deploy(const json_t *old, const json_t *new, struct str *reason)
{
	const json_t *a = json_object_get(json_object_get(old, "resources"), "limits"), *b = json_object_get(json_object_get(new, "resources"), "limits");
	if (same(a, b))
		return DIFF_NONE;
	reason_key(reason, "deploy.resources.limits", a, b);
	return DIFF_IN_PLACE;
}

static enum diff_class diff_key(const char *key, const json_t *old, const json_t *new, struct str *reason)
{
	enum key_class c = classify(key);
	if (c == KEY_IGNORED || same(old, new))
		return DIFF_NONE;
	if (c == KEY_DEPLOY)
		return diff_deploy(old, new, reason);
	reason_key(reason, key, old, new);
	return c == KEY_IN_PLACE ? DIFF_IN_PLACE : DIFF_RECREATE;
}

/* Names of volumes and networks are the project's, not the service's: a renamed one takes a new container. */
static enum diff_class diff_names(const struct record *r, const struct desired *d, const struct desired_service *want, struct str *reason)
{
	for (size_t i = 0; i < want->model.n_mounts; i++) {
		const struct model_mount *m = &want->model.mounts[i];
		const struct desired_volume *v = m->kind == MOUNT_VOLUME && m->source ? desired_volume(d, m->source) : NULL;
		for (size_t k = 0; v && k < r->n_mounts; k++)
			if (str_eq(r->mounts[k].target, m->target) && !r->mounts[k].anonymous && r->mounts[k].kind == MOUNT_VOLUME &&
			    !str_eq(r->mounts[k].source, v->name)) {
				reason_sep(reason);
				str_addf(reason, "volume %s is now %s", r->mounts[k].source, v->name);
				return DIFF_RECREATE;
			}
	}
	for (size_t i = 0; r->status == STATUS_RUNNING && i < r->n_endpoints; i++) {
		const struct desired_network *n = desired_network(d, r->endpoints[i].network);
		if (n && !str_eq(n->name, r->endpoints[i].network_name)) {
			reason_sep(reason);
			str_addf(reason, "network %s is now %s", r->endpoints[i].network_name, n->name);
			return DIFF_RECREATE;
		}
	}
	return DIFF_NONE;
}

enum diff_class plan_diff(const struct record *r, const struct desired *d, const struct desired_service *want, struct str *ret_reason)
{
	enum diff_class worst = diff_names(r, d, want, ret_reason), c;
	const char *old_image = json_get_str(r->image, "id", ""), *key;
	json_t *v;
	if (want->image_json && strcmp(old_image, want->image.id) != 0) {
		reason_sep(ret_reason);
		str_addf(ret_reason, "image %s is now %.19s", want->image.ref, want->image.id);
		worst = DIFF_RECREATE;
	} else if (!str_eq(json_get_str(r->config, "image", ""), json_get_str(want->config, "image", ""))) {
		reason_key(ret_reason, "image", json_object_get(r->config, "image"), json_object_get(want->config, "image"));
		worst = DIFF_RECREATE;
	}
	json_object_foreach((json_t *)(uintptr_t)want->config, key, v) {
		c = diff_key(key, json_object_get(r->config, key), v, ret_reason);
		worst = MAX(worst, c);
	}
	json_object_foreach(r->config, key, v) {
		if (json_object_get(want->config, key))
			continue;
		c = diff_key(key, v, NULL, ret_reason);
		worst = MAX(worst, c);
	}
	return worst;
}
