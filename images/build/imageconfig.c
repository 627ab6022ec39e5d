/* SPDX-License-Identifier: Apache-2.0 */
/* Each instruction's effect on the configuration, one function a kind, and the words that the history has for it: those of BuildKit, whose lists
 * are printed as Go prints slices. */
#include "images/build/imageconfig.h"

#include <stdio.h>

#include "base/str.h"
#include "images/build/cachefile.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

json_t *imageconfig_of(json_t *doc)
{
	json_t *config = json_object_get(doc, "config");
	if (!json_is_object(config)) {
		config = json_object();
		json_object_set_new(doc, "config", config);
	}
	return config;
}

static json_t *list_of(json_t *obj, const char *key)
{
	json_t *list = json_object_get(obj, key);
	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(obj, key, list);
	}
	return list;
}

static json_t *set_of(json_t *obj, const char *key)
{
	json_t *set = json_object_get(obj, key);
	if (!json_is_object(set)) {
		set = json_object();
		json_object_set_new(obj, key, set);
	}
	return set;
}

/* Sets NAME=value, in its place when it is there. */
static void set_env(json_t *config, const char *name, const char *value)
{
	AUTO_FREE char *pair = xasprintf("%s=%s", name, value);
	json_t *env = list_of(config, "Env"), *item;
	const size_t n = strlen(name) + 1;
	size_t i;
	json_array_foreach(env, i, item) {
		if (json_is_string(item) && strncmp(json_string_value(item), pair, n) == 0) {
			json_array_set_new(env, i, json_text(pair));
			return;
		}
	}
	json_array_append_new(env, json_text(pair));
}

static bool has_env(json_t *config, const char *name)
{
	const size_t n = strlen(name);
	json_t *item;
	size_t i;
	json_array_foreach(json_object_get(config, "Env"), i, item) {
		const char *pair = json_string_value(item);
		if (pair && strncmp(pair, name, n) == 0 && pair[n] == '=')
			return true;
	}
	return false;
}

json_t *imageconfig_new(const char *os, const char *arch, const char *variant)
{
	json_t *doc = json_object();
	json_put_str(doc, "architecture", arch);
	json_put_str(doc, "os", os);
	if (*variant)
		json_put_str(doc, "variant", variant);
	set_env(imageconfig_of(doc), "PATH", default_path);
	json_put_str(imageconfig_of(doc), "WorkingDir", "/");
	return doc;
}

json_t *imageconfig_from(const json_t *base, struct strv *ret_onbuild)
{
	json_t *doc = json_deep_copy(base), *config = imageconfig_of(doc);
	if (ret_onbuild)
		json_get_strv(config, "OnBuild", ret_onbuild);
	json_object_del(config, "OnBuild");
	/* what says how a container was once made of it, or the image, not what it is */
	for (const char *const *key = (const char *const []){ "container", "container_config", "docker_version", "id", "parent", CACHEFILE_INLINE, NULL };
	     *key; key++)
		json_object_del(doc, *key);
	for (const char *const *key = (const char *const []){ "Image", "Hostname", "Domainname", NULL }; *key; key++)
		json_object_del(config, *key);
	if (!has_env(config, "PATH"))
		set_env(config, "PATH", default_path);
	return doc;
}

void imageconfig_history(json_t *doc, const char *created_by, const char *created, bool empty_layer)
{
	json_t *entry = json_object();
	json_put_str(entry, "created", created);
	json_object_set_new(entry, "created_by", json_text(created_by));
	json_put_str(entry, "comment", "buildkit.dockerfile.v0");
	if (empty_layer)
		json_object_set_new(entry, "empty_layer", json_true());
	json_array_append_new(list_of(doc, "history"), entry);
}

void imageconfig_shell(const json_t *doc, struct strv *ret)
{
	json_get_strv(json_object_get(doc, "config"), "Shell", ret);
	if (ret->n == 0) {
		strv_push(ret, "/bin/sh");
		strv_push(ret, "-c");
	}
}

/* As Go's %q prints a string. */
static void add_quoted(struct str *out, const char *s)
{
	str_addc(out, '"');
	for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
		static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
		const char *at = strchr(from, *p);
		if (at)
			str_addf(out, "\\%c", to[at - from]);
		else if (*p < 0x20 || *p == 0x7f)
			str_addf(out, "\\x%02x", *p);
		else
			str_addc(out, (char)*p);
	}
	str_addc(out, '"');
}

static void add_list(struct str *out, const char *const *v, size_t n, bool quoted)
{
	str_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			str_addc(out, ' ');
		if (quoted)
			add_quoted(out, v[i]);
		else
			str_add(out, v[i]);
	}
	str_addc(out, ']');
}

/* ---- instructions ---- */

struct change {
	json_t *doc, *config;
	const struct instruction *in;
	bool *cmd_set;
	struct str text;   /* of the history */
};

static void apply_env(struct change *c)
{
	for (size_t i = 0; i < c->in->pairs.n; i++) {
		set_env(c->config, c->in->pairs.v[i].name, c->in->pairs.v[i].value);
		str_addf(&c->text, " %s=%s", c->in->pairs.v[i].name, c->in->pairs.v[i].value);
	}
}

static void apply_label(struct change *c)
{
	json_t *labels = set_of(c->config, "Labels");
	for (size_t i = 0; i < c->in->pairs.n; i++) {
		json_object_set_new_nocheck(labels, c->in->pairs.v[i].name, json_text(c->in->pairs.v[i].value));
		str_addf(&c->text, " %s=%s", c->in->pairs.v[i].name, c->in->pairs.v[i].value);
	}
}

static void apply_arg(struct change *c)
{
	for (size_t i = 0; i < c->in->pairs.n; i++) {
		const struct instruction_pair *p = &c->in->pairs.v[i];
		str_addf(&c->text, " %s%s%s", p->name, p->value ? "=" : "", p->value ? p->value : "");
	}
}

static void apply_maintainer(struct change *c)
{
	json_object_set_new(c->doc, "author", json_text(c->in->text));
	str_addf(&c->text, " %s", c->in->text);
}

/* The words of CMD or ENTRYPOINT, SHELL in front of the shell form. New reference. */
static json_t *command_words(struct change *c)
{
	AUTO_STRV struct strv words = {0};
	if (c->in->command.shell)
		imageconfig_shell(c->doc, &words);
	for (size_t i = 0; i < c->in->command.args.n; i++)
		strv_push(&words, c->in->command.args.v[i]);
	if (c->in->command.shell && c->in->command.args.n == 0)
		strv_push(&words, "");
	str_addc(&c->text, ' ');
	add_list(&c->text, (const char *const *)words.v, words.n, true);
	return json_from_strv(words.v);
}

static void apply_cmd(struct change *c)
{
	json_object_set_new(c->config, "Cmd", command_words(c));
	*c->cmd_set = true;
}

static void apply_entrypoint(struct change *c)
{
	json_object_set_new(c->config, "Entrypoint", command_words(c));
	if (!*c->cmd_set)
		json_object_del(c->config, "Cmd");
}

static void apply_expose(struct change *c)
{
	json_t *ports = set_of(c->config, "ExposedPorts");
	for (size_t i = 0; i < c->in->list.n; i++)
		json_object_set_new_nocheck(ports, c->in->list.v[i], json_object());
	str_addc(&c->text, ' ');
	add_list(&c->text, c->in->list.v, c->in->list.n, false);
}

static void apply_volume(struct change *c)
{
	json_t *volumes = set_of(c->config, "Volumes");
	for (size_t i = 0; i < c->in->list.n; i++)
		json_object_set_new_nocheck(volumes, c->in->list.v[i], json_object());
	str_addc(&c->text, ' ');
	add_list(&c->text, c->in->list.v, c->in->list.n, false);
}

static void apply_user(struct change *c)
{
	json_object_set_new(c->config, "User", json_text(c->in->text));
	str_addf(&c->text, " %s", c->in->text);
}

static void apply_stopsignal(struct change *c)
{
	json_object_set_new(c->config, "StopSignal", json_text(c->in->text));
	str_addf(&c->text, " %s", c->in->text);
}

static void apply_shell(struct change *c)
{
	json_t *shell = json_array();
	for (size_t i = 0; i < c->in->list.n; i++)
		json_array_append_new(shell, json_text(c->in->list.v[i]));
	json_object_set_new(c->config, "Shell", shell);
	str_addc(&c->text, ' ');
	add_list(&c->text, c->in->list.v, c->in->list.n, false);
}

/* As Go prints a time.Duration. */
static void add_duration(struct str *out, int64_t ns)
{
	char digits[40];
	const int64_t hours = ns / 3600000000000, minutes = ns / 60000000000 % 60;
	const double seconds = (double)(ns % 60000000000) / 1e9;
	str_addc(out, '"');
	if (ns && ns < 1000000000) {
		snprintf(digits, sizeof(digits), "%.10g%s", ns < 1000 ? (double)ns : ns < 1000000 ? (double)ns / 1e3 : (double)ns / 1e6,
			ns < 1000 ? "ns" : ns < 1000000 ? "µs" : "ms");
	} else {
		size_t n = 0;
		if (hours)
			n += (size_t)snprintf(digits, sizeof(digits), "%lldh", (long long)hours);
		if (hours || minutes)
			n += (size_t)snprintf(digits + n, sizeof(digits) - n, "%lldm", (long long)minutes);
		snprintf(digits + n, sizeof(digits) - n, "%.10gs", seconds);
	}
	str_add(out, digits);
	str_addc(out, '"');
}

static void put_ns(json_t *j, const char *key, int64_t ns)
{
	if (ns)
		json_put_int(j, key, ns);
}

static void apply_healthcheck(struct change *c)
{
	const struct instruction_health *h = &c->in->health;
	json_t *j = json_object(), *test = json_array();
	for (size_t i = 0; i < h->test.n; i++)
		json_array_append_new(test, json_text(h->test.v[i]));
	json_object_set_new(j, "Test", test);
	put_ns(j, "Interval", h->interval_ns);
	put_ns(j, "Timeout", h->timeout_ns);
	put_ns(j, "StartPeriod", h->start_period_ns);
	put_ns(j, "StartInterval", h->start_interval_ns);
	if (h->retries)
		json_put_int(j, "Retries", h->retries);
	json_object_set_new(c->config, "Healthcheck", j);
	str_add(&c->text, " &{");
	add_list(&c->text, h->test.v, h->test.n, true);
	for (size_t i = 0; i < 4; i++) {
		str_addc(&c->text, ' ');
		add_duration(&c->text, i == 0 ? h->interval_ns : i == 1 ? h->timeout_ns : i == 2 ? h->start_period_ns : h->start_interval_ns);
	}
	str_addf(&c->text, " '\\x%02x'}", (unsigned)h->retries & 0xff);
}

static void apply_onbuild(struct change *c)
{
	json_array_append_new(list_of(c->config, "OnBuild"), json_text(c->in->text));
	str_addf(&c->text, " %s", c->in->text);
}

int imageconfig_apply(json_t *doc, const struct instruction *in, bool *cmd_set)
{
	static void (*const apply[INSTRUCTION_KIND_N_])(struct change *c) = {
		[INSTRUCTION_ARG] = apply_arg, [INSTRUCTION_CMD] = apply_cmd, [INSTRUCTION_ENTRYPOINT] = apply_entrypoint,
		[INSTRUCTION_ENV] = apply_env, [INSTRUCTION_EXPOSE] = apply_expose, [INSTRUCTION_HEALTHCHECK] = apply_healthcheck,
		[INSTRUCTION_LABEL] = apply_label, [INSTRUCTION_MAINTAINER] = apply_maintainer, [INSTRUCTION_ONBUILD] = apply_onbuild,
		[INSTRUCTION_SHELL] = apply_shell, [INSTRUCTION_STOPSIGNAL] = apply_stopsignal, [INSTRUCTION_USER] = apply_user,
		[INSTRUCTION_VOLUME] = apply_volume,
	};
	struct change c = { .doc = doc, .config = imageconfig_of(doc), .in = in, .cmd_set = cmd_set };
	if (!apply[in->kind])
		return 1;
	str_add(&c.text, instruction_name(in->kind));
	apply[in->kind](&c);
	if (in->kind != INSTRUCTION_ONBUILD) /* its history is that of the images that it builds */
		imageconfig_history(doc, str_get(&c.text), "", true);
	str_done(&c.text);
	return 0;
}

char *imageconfig_run_text(const struct strv *args, const struct strv *declared, const struct expand_env *env)
{
	struct str text = {0};
	str_add(&text, "RUN");
	if (declared->n)
		str_addf(&text, " |%zu", declared->n);
	for (size_t i = 0; i < declared->n; i++) {
		const char *value = expand_env_get(env, declared->v[i]);
		str_addf(&text, " %s=%s", declared->v[i], value ? value : "");
	}
	for (size_t i = 0; i < args->n; i++)
		str_addf(&text, " %s", args->v[i]);
	str_add(&text, " # buildkit");
	return str_take(&text);
}

char *imageconfig_copy_text(const struct instruction *in)
{
	const struct instruction_copy *c = &in->copy;
	struct str text = {0};
	str_add(&text, instruction_name(in->kind));
	if (c->parents)
		str_add(&text, " --parents");
	if (*c->chown)
		str_addf(&text, " --chown=%s", c->chown);
	if (*c->chmod)
		str_addf(&text, " --chmod=%s", c->chmod);
	for (size_t i = 0; i < c->sources.n; i++)
		str_addf(&text, " %s", c->sources.v[i]);
	for (size_t i = 0; i < c->n_contents; i++)
		str_addf(&text, " <<%s", c->contents[i].name);
	str_addf(&text, " %s # buildkit", c->dest);
	return str_take(&text);
}

void imageconfig_finish(json_t *doc, const struct strv *diff_ids, const char *created, const char *epoch)
{
	json_t *rootfs = json_object(), *ids = json_array(), *item, *history = list_of(doc, "history");
	const char *last = NULL;
	size_t i;
	for (i = 0; i < diff_ids->n; i++) {
		AUTO_FREE char *digest = xasprintf("sha256:%s", diff_ids->v[i]);
		json_array_append_new(ids, json_string(digest));
	}
	json_put_str(rootfs, "type", "layers");
	json_object_set_new(rootfs, "diff_ids", ids);
	json_object_set_new(doc, "rootfs", rootfs);
	json_put_str(doc, "created", epoch ? epoch : created);
	/* what made no layer was made with the layer before it, in a rebuild from the cache as well */
	json_array_foreach(history, i, item) {
		const char *when = json_get_str(item, "created", "");
		if (epoch && strcmp(json_get_str(item, "comment", ""), "buildkit.dockerfile.v0") == 0 && !*when)
			json_put_str(item, "created", epoch);
		else if (!*when)
			json_put_str(item, "created", last ? last : created);
		last = json_get_str(item, "created", "");
	}
}
