/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes of variables: see the header. Platforms are written as containerd formats them ("linux/arm64", "linux/arm/v7"). */
#include "images/build/expand_scope.h"

#include <strings.h>

/* In pairs: one and the same in capitals and in small letters. */
static const char *const proxies[] = {
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy",
};

bool expand_scope_is_proxy(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
		if (str_eq(name, proxies[i]))
			return true;
	}
	return false;
}

static void set_platform(struct expand_env *to, const struct expand_env *build_args, const char *prefix, const struct expand_platform *p)
{
	AUTO_FREE char *whole = xasprintf("%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
	const struct {
		const char *name, *value;
	} all[] = { { "PLATFORM", whole }, { "OS", p->os }, { "OSVERSION", "" }, { "ARCH", p->arch }, { "VARIANT", p->variant } };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		AUTO_FREE char *name = xasprintf("%s%s", prefix, all[i].name);
		const char *given = build_args ? expand_env_get(build_args, name) : NULL;
		expand_env_set(to, name, given ? given : all[i].value);
	}
}

static const char *last_stage_name(const struct instructions *in)
{
	const char *name = in->n_stages ? in->stages[in->n_stages - 1].name : "";
	return *name ? name : "default";
}

/* The value of an ARG's default, expanded; NULL + error. */
static const char *expand_default(struct arena *a, const struct instruction *arg, const struct instruction_pair *p, const struct expand_env *env,
				  struct expand_names *used, struct diags *ds)
{
	AUTO_STR struct str text = { 0 };
	struct err err;
	if (expand_word(p->value, arg->node->file->escape, 0, env, used, &text, &err) < 0) {
		diag_error(ds, p->pos, "", "%s", err.msg);
		return NULL;
	}
	return arena_strndup(a, str_get(&text), text.len);
}

int expand_scope_global(struct arena *a, const struct instructions *in, const struct expand_options *opt, struct diags *ds, struct expand_env *ret)
{
	const struct expand_env *build_args = opt->build_args;
	const char *target = opt->target_stage && *opt->target_stage ? opt->target_stage : last_stage_name(in);
	const char *given = build_args ? expand_env_get(build_args, "TARGETSTAGE") : NULL;
	int r = 0;
	set_platform(ret, build_args, "BUILD", &opt->build);
	set_platform(ret, build_args, "TARGET", &opt->target);
	expand_env_set(ret, "TARGETSTAGE", given ? given : target);
	for (size_t i = 0; i < in->n_meta_args; i++) {
		const struct instruction *arg = in->meta_args[i];
		for (size_t k = 0; k < arg->pairs.n; k++) {
			const struct instruction_pair *p = &arg->pairs.v[k];
			const char *value = build_args ? expand_env_get(build_args, p->name) : NULL;
			if (!value && p->value) {
				value = expand_default(a, arg, p, ret, NULL, ds);
				r = value ? r : -1;
			}
			if (value)
				expand_env_set(ret, p->name, value);
		}
	}
	return r;
}

const char *expand_scope_from(struct arena *a, const struct instruction_stage *stage, const char *word, const struct expand_env *global,
			      struct expand_names *names, struct diags *ds)
{
	const char *at = strstr(stage->node->original, word);
	struct pos pos = at ? dockerfile_pos(stage->node, (size_t)(at - stage->node->original)) : stage->pos;
	AUTO_STR struct str text = { 0 };
	struct expand_names own = { 0 };
	struct err err;
	struct diag *d;
	const char *ret = NULL;
	if (expand_word(word, stage->node->file->escape, 0, global, names ? names : &own, &text, &err) < 0) {
		diag_error(ds, pos, "", "%s", err.msg);
	} else if (!text.len) {
		const struct strv *unset = names ? &names->unset : &own.unset;
		d = diag_error(ds, pos, "", "FROM: \"%s\" is empty", diag_quote(ds, word));
		if (unset->n)
			diag_hint(ds, d, "%s is not set: an ARG before the first FROM can give it a value", diag_quote(ds, unset->v[0]));
	} else {
		ret = arena_strndup(a, str_get(&text), text.len);
	}
	expand_names_done(&own);
	return ret;
}

void expand_scope_copy(struct expand_scope *to, const struct expand_scope *from)
{
	expand_env_copy(&to->env, &from->env);
	for (size_t i = 0; i < from->declared.n; i++) {
		if (!strv_has(&to->declared, from->declared.v[i]))
			strv_push(&to->declared, from->declared.v[i]);
	}
}

void expand_scope_done(struct expand_scope *s)
{
	expand_env_done(&s->env);
	strv_done(&s->declared);
}

void expand_scope_env(struct expand_scope *s, const struct instruction *env)
{
	for (size_t i = 0; i < env->pairs.n; i++)
		expand_env_set(&s->env, env->pairs.v[i].name, env->pairs.v[i].value);
}

int expand_scope_arg(struct arena *a, struct expand_scope *s, const struct instruction *arg, const struct expand_env *global,
		     const struct expand_env *build_args, struct expand_names *used, struct diags *ds, struct instruction **ret)
{
	struct instruction *to = arena_alloc(a, sizeof(*to));
	int r = 0;
	*to = *arg;
	to->pairs.v = arena_alloc(a, (arg->pairs.n + 1) * sizeof(*to->pairs.v));
	for (size_t i = 0; i < arg->pairs.n; i++) {
		const struct instruction_pair *p = &arg->pairs.v[i];
		const char *value = build_args ? expand_env_get(build_args, p->name) : NULL;
		if (!value && p->value) {
			value = expand_default(a, arg, p, &s->env, used, ds);
			r = value ? r : -1;
		} else if (!value && global) {
			value = expand_env_get(global, p->name);
		}
		to->pairs.v[i] = *p;
		to->pairs.v[i].value = value ? arena_strdup(a, value) : NULL;
		if (!strv_has(&s->declared, p->name))
			strv_push(&s->declared, p->name);
		if (value)
			expand_env_set(&s->env, p->name, value);
	}
	*ret = to;
	return r;
}

void expand_scope_run_env(const struct expand_scope *s, const struct expand_env *build_args, struct strv *ret, struct strv *ret_hidden)
{
	expand_env_list(&s->env, ret);
	for (size_t i = 0; build_args && i < ARRAY_SIZE(proxies); i++) {
		const char *value = expand_env_get(build_args, proxies[i]);
		if (!value)
			value = expand_env_get(build_args, proxies[i ^ 1]);
		if (value && !expand_env_get(&s->env, proxies[i]))
			strv_pushf(ret_hidden, "%s=%s", proxies[i], value);
	}
}
