/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of instructions, and the comma-separated values of RUN --mount and --device. A mistake names what would have been right. */
#include <stdio.h>
#include <strings.h>

#include "images/build/instruction_impl.h"
#include "spec/bytes.h"

enum { MAX_FLAGS = 16 };

static const char *const mount_types[] = { "bind", "cache", "tmpfs", "secret", "ssh" };
static_assert(ARRAY_SIZE(mount_types) == MOUNT_TYPE_N_, "a name for each type of mount");
static const char *const sharings[] = { "", "shared", "private", "locked" };
static_assert(ARRAY_SIZE(sharings) == SHARING_N_, "a name for each way of sharing");

const char *instruction_mount_name(enum instruction_mount_type type)
{
	return mount_types[type];
}

const char *instruction_sharing_name(enum instruction_sharing sharing)
{
	return sharings[sharing];
}

void instruction_list_add(struct arena *a, struct instruction_list *l, size_t *cap, const char *s)
{
	if (l->n + 2 > *cap) {
		const char **v = arena_alloc(a, (*cap = 2 * (l->n + 4)) * sizeof(*v));
		if (l->n)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
	}
	l->v[l->n++] = s;
	l->v[l->n] = NULL;
}

struct instruction_list instruction_list_of(struct arena *a, const struct strv *sv)
{
	struct instruction_list l = { .v = arena_alloc(a, (sv->n + 1) * sizeof(char *)), .n = sv->n };
	for (size_t i = 0; i < sv->n; i++)
		l.v[i] = arena_strdup(a, sv->v[i]);
	return l;
}

bool instruction_parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" }, *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (str_eq(s, yes[i]))
			return *ret = true, true;
		if (str_eq(s, no[i]))
			return *ret = false, true;
	}
	return false;
}

struct pos instruction_flag_pos(const struct instruction_maker *m, const char *name, size_t index)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < m->node->n_flags; i++) {
		const struct dockerfile_word *w = &m->node->flags[i];
		if (str_starts(w->text, "--") && strncmp(w->text + 2, name, len) == 0 && w->text[2 + len] == '=' && !index--)
			return dockerfile_pos(m->node, w->at + len + 3);
	}
	return dockerfile_pos(m->node, 0);
}

static int unknown_flag(const struct instruction_maker *m, struct pos pos, const char *name, const struct instruction_flag *spec, size_t n)
{
	const char *names[MAX_FLAGS], *near;
	struct diag *d = instruction_error(m, pos, "%s has no flag --%s", m->name, diag_quote(m->ds, name));
	AUTO_STR struct str known = { 0 };
	for (size_t i = 0; i < n; i++) {
		names[i] = spec[i].name;
		str_addf(&known, "%s--%s", i ? ", " : "", spec[i].name);
	}
	near = diag_nearest(name, names, n);
	if (near)
		diag_hint(m->ds, d, "did you mean --%s?", near);
	else if (n)
		diag_hint(m->ds, d, "it has %s", str_get(&known));
	else
		diag_hint(m->ds, d, "words in front that begin with \"--\" are flags; \"--\" alone ends them");
	return -1;
}

static int flag_value(const struct instruction_maker *m, const struct instruction_flag *f, struct pos pos, const char *value, size_t *cap)
{
	if (f->type != FLAG_BOOL && !value) {
		diag_hint(m->ds, instruction_error(m, pos, "flag --%s needs a value", f->name), "--%s=VALUE", f->name);
		return -1;
	}
	if (f->type == FLAG_TEXT) {
		*f->text = value;
	} else if (f->type == FLAG_LIST) {
		instruction_list_add(m->arena, f->list, cap, value);
	} else if (!value || strcasecmp(value, "true") == 0) {
		*f->truth = 1;
	} else if (strcasecmp(value, "false") == 0) {
		*f->truth = 0;
	} else {
		instruction_error(m, pos, "flag --%s is true or false, not \"%s\"", f->name, diag_quote(m->ds, value));
		return -1;
	}
	return 0;
}

int instruction_read_flags(const struct instruction_maker *m, const struct instruction_flag *spec, size_t n)
{
	size_t caps[MAX_FLAGS] = { 0 };
	bool seen[MAX_FLAGS] = { false };
	int r = 0;
	assert(n <= MAX_FLAGS);
	for (size_t i = 0; i < m->node->n_flags; i++) {
		const struct dockerfile_word *w = &m->node->flags[i];
		struct pos pos = dockerfile_pos(m->node, w->at);
		const char *text = str_starts(w->text, "--") ? w->text + 2 : w->text, *equals = strchr(text, '=');
		char *name = arena_strndup(m->arena, text, equals ? (size_t)(equals - text) : strlen(text));
		size_t k = 0;
		while (k < n && !str_eq(spec[k].name, name))
			k++;
		if (k == n) {
			r = unknown_flag(m, pos, name, spec, n);
			continue;
		}
		if (seen[k] && spec[k].type != FLAG_LIST) {
			instruction_error(m, pos, "flag --%s is given twice", name);
			r = -1;
		} else if (flag_value(m, &spec[k], pos, equals ? equals + 1 : NULL, &caps[k]) < 0) {
			r = -1;
		}
		seen[k] = true;
	}
	return r;
}

bool instruction_split_fields(struct arena *a, const char *text, struct instruction_list *ret, const char **ret_why)
{
	AUTO_STR struct str field = { 0 };
	size_t cap = 0;
	*ret = (struct instruction_list){ 0 };
	for (const char *p = text;; p++) {
		str_clear(&field);
		if (*p == '"') {
			for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
				p += *p == '"';
				str_addc(&field, *p);
			}
			if (!*p) {
				*ret_why = "a quotation mark has no end";
				return false;
			}
			p++;
			if (*p && *p != ',') {
				*ret_why = "text behind a quotation mark";
				return false;
			}
		} else {
			for (; *p && *p != ','; p++) {
				if (*p == '"') {
					*ret_why = "a quotation mark inside a field";
					return false;
				}
				str_addc(&field, *p);
			}
		}
		instruction_list_add(a, ret, &cap, arena_strndup(a, str_get(&field), field.len));
		if (!*p)
			return true;
	}
}

/* A mount in the making. */
struct mount {
	const struct instruction_maker *m;
	struct instruction_mount *to;
	struct pos pos;
	const char *field;       /* as written */
	bool read_only_given;
};

static int mount_error(struct mount *x, const char *what)
{
	instruction_error(x->m, x->pos, "%s \"%s\"", what, diag_quote(x->m->ds, x->field));
	return -1;
}

static int mount_choice(struct mount *x, const char *what, const char *value, const char *const *names, size_t n, int *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (*names[i] && strcasecmp(value, names[i]) == 0) {
			*ret = (int)i;
			return 0;
		}
	}
	{
		const char *near = diag_nearest(value, names, n);
		struct diag *d = instruction_error(x->m, x->pos, "unsupported %s \"%s\"", what, diag_quote(x->m->ds, value));
		AUTO_STR struct str known = { 0 };
		for (size_t i = 0; i < n; i++) {
			if (*names[i])
				str_addf(&known, "%s%s", known.len ? ", " : "", names[i]);
		}
		if (near && *near)
			diag_hint(x->m->ds, d, "did you mean %s?", near);
		else
			diag_hint(x->m->ds, d, "it is one of %s", str_get(&known));
	}
	return -1;
}

static int mount_type(struct mount *x, const char *value)
{
	int i = 0;
	if (mount_choice(x, "type of mount", value, mount_types, ARRAY_SIZE(mount_types), &i) < 0)
		return -1;
	x->to->type = (enum instruction_mount_type)i;
	return 0;
}

static int mount_sharing(struct mount *x, const char *value)
{
	int i = 0;
	if (mount_choice(x, "sharing", value, sharings, ARRAY_SIZE(sharings), &i) < 0)
		return -1;
	x->to->sharing = (enum instruction_sharing)i;
	return 0;
}

static int mount_from(struct mount *x, const char *value)
{
	x->to->from = value;
	return 0;
}

static int mount_source(struct mount *x, const char *value)
{
	x->to->source = value;
	return 0;
}

static int mount_target(struct mount *x, const char *value)
{
	x->to->target = value;
	return 0;
}

static int mount_id(struct mount *x, const char *value)
{
	x->to->id = value;
	return 0;
}

static int mount_env(struct mount *x, const char *value)
{
	x->to->env = value;
	return 0;
}

static int mount_read_only(struct mount *x, const char *value)
{
	x->read_only_given = true;
	return instruction_parse_bool(value, &x->to->read_only) ? 0 : mount_error(x, "not true or false:");
}

static int mount_read_write(struct mount *x, const char *value)
{
	int r = mount_read_only(x, value);
	x->to->read_only = !x->to->read_only;
	return r;
}

static int mount_required(struct mount *x, const char *value)
{
	if (x->to->type != MOUNT_SECRET && x->to->type != MOUNT_SSH)
		return mount_error(x, "only mounts of type secret and ssh (type= comes first) have");
	return instruction_parse_bool(value, &x->to->required) ? 0 : mount_error(x, "not true or false:");
}

static int mount_size(struct mount *x, const char *value)
{
	if (x->to->type != MOUNT_TMPFS)
		return mount_error(x, "only mounts of type tmpfs (type= comes first) have");
	if (!bytes_parse(value, &x->to->size_bytes) || x->to->size_bytes < 0)
		return mount_error(x, "no size:");
	return 0;
}

static int mount_mode(struct mount *x, const char *value)
{
	uint64_t v = 0;
	for (const char *p = value; *p || p == value; p++) {
		if (*p < '0' || *p > '7' || v > UINT32_MAX / 8)
			return mount_error(x, "no octal mode:");
		v = v * 8 + (uint64_t)(*p - '0');
	}
	x->to->mode = (int64_t)v;
	return 0;
}

static int mount_id_number(struct mount *x, const char *value, int64_t *to)
{
	uint64_t v;
	if (!parse_u64(value, 0, UINT32_MAX, &v))
		return mount_error(x, "no number of a user or group:");
	*to = (int64_t)v;
	return 0;
}

static int mount_uid(struct mount *x, const char *value)
{
	return mount_id_number(x, value, &x->to->uid);
}

static int mount_gid(struct mount *x, const char *value)
{
	return mount_id_number(x, value, &x->to->gid);
}

static const struct mount_key {
	const char *name;
	int (*fn)(struct mount *x, const char *value);
	bool alone;              /* may stand without a value, for true */
} mount_keys[] = {
	{ "type", mount_type, false }, { "from", mount_from, false }, { "source", mount_source, false }, { "src", mount_source, false },
	{ "target", mount_target, false }, { "dst", mount_target, false }, { "destination", mount_target, false },
	{ "readonly", mount_read_only, true }, { "ro", mount_read_only, true }, { "readwrite", mount_read_write, true },
	{ "rw", mount_read_write, true }, { "required", mount_required, true }, { "size", mount_size, false }, { "id", mount_id, false },
	{ "sharing", mount_sharing, false }, { "mode", mount_mode, false }, { "uid", mount_uid, false }, { "gid", mount_gid, false },
	{ "env", mount_env, false },
};

static int mount_unknown_key(struct mount *x, const char *name)
{
	const char *names[ARRAY_SIZE(mount_keys)], *near;
	struct diag *d = instruction_error(x->m, x->pos, "a mount has no key \"%s\"", diag_quote(x->m->ds, name));
	for (size_t i = 0; i < ARRAY_SIZE(mount_keys); i++)
		names[i] = mount_keys[i].name;
	near = diag_nearest(name, names, ARRAY_SIZE(names));
	if (near)
		diag_hint(x->m->ds, d, "did you mean %s?", near);
	return -1;
}

static int mount_field(struct mount *x, const struct expand_env *env, struct expand_names *used)
{
	const char *equals = strchr(x->field, '='), *value = equals ? equals + 1 : NULL;
	char *name = arena_strndup(x->m->arena, x->field, equals ? (size_t)(equals - x->field) : strlen(x->field));
	AUTO_STR struct str expanded = { 0 };
	struct err err;
	size_t k = 0;
	for (char *c = name; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
	while (k < ARRAY_SIZE(mount_keys) && !str_eq(mount_keys[k].name, name))
		k++;
	if (k == ARRAY_SIZE(mount_keys))
		return mount_unknown_key(x, name);
	if (!value && !mount_keys[k].alone) {
		instruction_error(x->m, x->pos, "mount key \"%s\" needs a value", name);
		return -1;
	}
	if (value && !env && mount_keys[k].fn == mount_from && strchr(value, '$') && strchr(value, '$')[1]) {
		diag_hint(x->m->ds, instruction_error(x->m, x->pos, "from= takes no variables"), "define a stage with FROM and name that");
		return -1;
	}
	if (value && env) {
		if (expand_word(value, x->m->node->file->escape, 0, env, used, &expanded, &err) < 0) {
			instruction_error(x->m, x->pos, "%s", err.msg);
			return -1;
		}
		value = arena_strndup(x->m->arena, str_get(&expanded), expanded.len);
	} else if (value && strchr(value, '$') && mount_keys[k].fn != mount_from) {
		return 0;
	}
	return mount_keys[k].fn(x, value ? value : "true");
}

/* What contradicts itself, once everything is known. */
static int mount_check(struct mount *x)
{
	struct instruction_mount *t = x->to;
	const struct instruction_maker *m = x->m;
	const char *type = mount_types[t->type];
	bool owned = t->type == MOUNT_SECRET || t->type == MOUNT_SSH || t->type == MOUNT_CACHE;
	if (!owned && (t->mode >= 0 || t->uid >= 0 || t->gid >= 0))
		return instruction_error(m, x->pos, "%s is not allowed for mounts of type %s", t->mode >= 0 ? "mode" : t->uid >= 0 ? "uid" : "gid", type), -1;
	if (t->type == MOUNT_SECRET && *t->from)
		return instruction_error(m, x->pos, "a secret mount has no from"), -1;
	if (t->sharing && t->type != MOUNT_CACHE)
		return instruction_error(m, x->pos, "sharing is for mounts of type cache, this one is %s", type), -1;
	if (t->type == MOUNT_SECRET && !*t->source && !*t->target && !*t->id)
		return diag_hint(m->ds, instruction_error(m, x->pos, "a secret mount needs id= or target="), "--mount=type=secret,id=NAME"), -1;
	if (t->type == MOUNT_SECRET && *t->source && *t->id)
		return instruction_error(m, x->pos, "a secret mount has either source or id"), -1;
	return 0;
}

int instruction_read_mount(const struct instruction_maker *m, const char *text, struct pos pos, const struct expand_env *env,
			   struct expand_names *used, struct instruction_mount *ret)
{
	struct instruction_list fields;
	const char *why;
	struct mount x = { .m = m, .to = ret, .pos = pos };
	int r = 0;
	*ret = (struct instruction_mount){
		.type = MOUNT_BIND, .from = "", .source = "", .target = "", .id = "", .mode = -1, .uid = -1, .gid = -1, .pos = pos,
	};
	if (!instruction_split_fields(m->arena, text, &fields, &why)) {
		instruction_error(m, pos, "mount: %s", why);
		return -1;
	}
	for (size_t i = 0; i < fields.n; i++) {
		x.field = fields.v[i];
		if (mount_field(&x, env, used) < 0)
			r = -1;
	}
	if (!x.read_only_given)
		ret->read_only = ret->type != MOUNT_CACHE && ret->type != MOUNT_TMPFS;
	return r < 0 || (!env && strchr(text, '$')) ? r : mount_check(&x);
}

int instruction_read_device(const struct instruction_maker *m, const char *text, struct pos pos, struct instruction_device *ret)
{
	struct instruction_list fields;
	const char *why;
	*ret = (struct instruction_device){ .name = "" };
	if (!instruction_split_fields(m->arena, text, &fields, &why))
		return instruction_error(m, pos, "device: %s", why), -1;
	for (size_t i = 0; i < fields.n; i++) {
		const char *field = fields.v[i];
		if (strcasecmp(field, "required") == 0) {
			ret->required = true;
		} else if (strncasecmp(field, "required=", 9) == 0) {
			if (!instruction_parse_bool(field + 9, &ret->required))
				return instruction_error(m, pos, "not true or false: \"%s\"", diag_quote(m->ds, field)), -1;
		} else if (strncasecmp(field, "name=", 5) == 0 && !*ret->name) {
			ret->name = field + 5;
		} else if (!*ret->name) {
			ret->name = field;
		} else {
			return instruction_error(m, pos, "a device has no key \"%s\"", diag_quote(m->ds, field)), -1;
		}
	}
	return 0;
}
