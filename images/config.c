/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI image configuration: reading it into struct image, making a new one, changing it. Reading is strict about types,
 * because what is read decides what a container runs; what is absent or null is the empty value. `--change` follows the words of
 * a Dockerfile: variables are expanded from the ENV so far everywhere but in CMD and ENTRYPOINT, quotes and backslashes as
 * there. */
#include "images/config.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/proc.h"
#include "base/str.h"

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_list(struct strv *sv)
{
	if (sv->n)
		qsort(sv->v, sv->n, sizeof(*sv->v), compare_text);
}

static int wrong_type(const char *key, struct err *err)
{
	return err_set(err, ERR_INVALID, "image configuration: \"%s\" has the wrong type", key);
}

/* A string member, "" when absent or null. */
static int get_text(const json_t *obj, const char *key, char **ret, struct err *err)
{
	const json_t *v = json_object_get(obj, key);
	if (v && !json_is_null(v) && !json_is_string(v))
		return wrong_type(key, err);
	*ret = xstrdup(json_is_string(v) ? json_string_value(v) : "");
	return 0;
}

/* An array of strings; a lone string is a list of one, as docker reads old configurations. */
static int get_list(const json_t *obj, const char *key, struct strv *ret, struct err *err)
{
	const json_t *v = json_object_get(obj, key), *item;
	size_t i;
	if (json_is_string(v))
		strv_push(ret, json_string_value(v));
	else if (v && !json_is_null(v) && !json_is_array(v))
		return wrong_type(key, err);
	json_array_foreach(v, i, item) {
		if (!json_is_string(item))
			return wrong_type(key, err);
		strv_push(ret, json_string_value(item));
	}
	return 0;
}

/* The keys of an object, sorted: how the format writes sets. */
static int get_set(json_t *obj, const char *key, struct strv *ret, struct err *err)
{
	json_t *v = json_object_get(obj, key), *ignored;
	const char *name;
	if (v && !json_is_null(v) && !json_is_object(v))
		return wrong_type(key, err);
	json_object_foreach(v, name, ignored)
		strv_push(ret, name);
	sort_list(ret);
	return 0;
}

static int get_labels(json_t *obj, struct image *img, struct err *err)
{
	json_t *labels = json_object_get(obj, "Labels");
	if (get_set(obj, "Labels", &img->label_keys, err) < 0)
		return -1;
	for (size_t i = 0; i < img->label_keys.n; i++) {
		const json_t *v = json_object_get(labels, img->label_keys.v[i]);
		if (!json_is_string(v))
			return wrong_type("Labels", err);
		strv_push(&img->label_values, json_string_value(v));
	}
	return 0;
}

static int get_layers(const json_t *doc, struct image *img, struct err *err)
{
	const json_t *rootfs = json_object_get(doc, "rootfs");
	struct strv ids = {0};
	int rc = get_list(rootfs, "diff_ids", &ids, err);
	if (rc == 0 && (!json_is_object(rootfs) || strcmp(json_get_str(rootfs, "type", ""), "layers") != 0))
		rc = err_set(err, ERR_INVALID, "image configuration: \"rootfs\" is missing or not of the type \"layers\"");
	if (rc == 0 && ids.n > IMAGE_MAX_LAYERS)
		rc = err_set(err, ERR_INVALID, "image configuration: %zu layers are more than the %d allowed", ids.n, IMAGE_MAX_LAYERS);
	for (size_t i = 0; rc == 0 && i < ids.n; i++) {
		const char *hex = ids.v[i] + strlen("sha256:");
		if (!str_starts(ids.v[i], "sha256:") || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
			rc = err_set(err, ERR_INVALID, "image configuration: a diff_id is not a sha256 digest");
		else
			strv_push(&img->diff_ids, hex);
	}
	strv_done(&ids);
	return rc;
}

static int read_fields(json_t *doc, struct image *img, struct err *err)
{
	json_t *c = json_object_get(doc, "config");
	if (c && !json_is_null(c) && !json_is_object(c))
		return wrong_type("config", err);
	if (get_text(doc, "os", &img->os, err) < 0 || get_text(doc, "architecture", &img->architecture, err) < 0 ||
	    get_text(doc, "variant", &img->variant, err) < 0 || get_text(doc, "created", &img->created, err) < 0 ||
	    get_text(c, "User", &img->user, err) < 0 || get_text(c, "WorkingDir", &img->working_dir, err) < 0 ||
	    get_text(c, "StopSignal", &img->stop_signal, err) < 0)
		return -1;
	if (get_list(c, "Entrypoint", &img->entrypoint, err) < 0 || get_list(c, "Cmd", &img->cmd, err) < 0 ||
	    get_list(c, "Env", &img->env, err) < 0 || get_set(c, "ExposedPorts", &img->exposed_ports, err) < 0 ||
	    get_set(c, "Volumes", &img->volumes, err) < 0 || get_labels(c, img, err) < 0)
		return -1;
	return get_layers(doc, img, err);
}

int image_config_parse(const char *text, size_t n, struct image *ret, struct err *err)
{
	struct image img = {0};
	char shown[40];
	json_error_t je;
	int rc = 0;
	if (n > IMAGE_MAX_CONFIG_BYTES)
		return err_set(err, ERR_INVALID, "image configuration: larger than %d bytes", IMAGE_MAX_CONFIG_BYTES);
	img.json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(img.json))
		rc = err_set(err, ERR_INVALID, "image configuration: not a JSON object");
	if (rc == 0)
		rc = read_fields(img.json, &img, err);
	if (rc == 0 && strcmp(img.os, "linux") != 0)
		rc = err_set(err, ERR_UNSUPPORTED, "image is for the operating system \"%s\", not linux",
			err_quote(shown, sizeof(shown), img.os));
	if (rc < 0) {
		image_done(&img);
		return -1;
	}
	sha256_hex(text, n, img.id);
	*ret = img;
	return 0;
}

void image_done(struct image *img)
{
	if (!img)
		return;
	strv_done(&img->refs);
	strv_done(&img->digests);
	strv_done(&img->diff_ids);
	strv_done(&img->entrypoint);
	strv_done(&img->cmd);
	strv_done(&img->env);
	strv_done(&img->exposed_ports);
	strv_done(&img->volumes);
	strv_done(&img->label_keys);
	strv_done(&img->label_values);
	free(img->user);
	free(img->working_dir);
	free(img->stop_signal);
	free(img->os);
	free(img->architecture);
	free(img->variant);
	free(img->created);
	json_decref(img->json);
	*img = (struct image){0};
}

const char *image_config_host_arch(void)
{
	static const struct { const char *machine, *arch; } names[] = {
		{ "x86_64", "amd64" }, { "aarch64", "arm64" }, { "armv7l", "arm" }, { "armv6l", "arm" }, { "i686", "386" },
		{ "riscv64", "riscv64" }, { "ppc64le", "ppc64le" }, { "s390x", "s390x" }, { "loongarch64", "loong64" },
	};
	struct utsname un;
	if (uname(&un) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (strcmp(un.machine, names[i].machine) == 0)
				return names[i].arch;
	return "amd64";
}

json_t *image_config_new(const char *diff_id, const char *created, const char *comment)
{
	json_t *doc = json_object(), *rootfs = json_object(), *history = json_object(), *ids = json_array();
	AUTO_FREE char *digest = xasprintf("sha256:%s", diff_id);
	json_put_str(doc, "architecture", image_config_host_arch());
	json_put_str(doc, "os", "linux");
	json_put_str(doc, "created", created);
	json_object_set_new(doc, "config", json_object());
	json_array_append_new(ids, json_string(digest));
	json_put_str(rootfs, "type", "layers");
	json_object_set_new(rootfs, "diff_ids", ids);
	json_object_set_new(doc, "rootfs", rootfs);
	json_put_str(history, "created", created);
	json_put_str(history, "created_by", "muster image import");
	json_put_str(history, "comment", comment);
	json_object_set_new(doc, "history", json_array());
	json_array_append_new(json_object_get(doc, "history"), history);
	return doc;
}

/* ---- --change ---- */

struct change {
	json_t *config;      /* the "config" object */
	const char *rest;    /* what follows the keyword, no blanks in front */
};

/* The value of a variable in the configuration's Env, NULL when unset. */
static const char *env_get(const json_t *config, const char *name, size_t n)
{
	const json_t *item;
	size_t i;
	json_array_foreach(json_object_get(config, "Env"), i, item) {
		const char *kv = json_string_value(item);
		if (strncmp(kv, name, n) == 0 && kv[n] == '=')
			return kv + n + 1;
	}
	return NULL;
}

/* Expands $NAME or ${NAME} at *p (which is at the '$') and moves *p behind it. */
static int expand_variable(const json_t *config, const char **p, struct str *out, struct err *err)
{
	const char *name = *p + 1, *value;
	bool braces = *name == '{';
	size_t n = 0;
	name += braces;
	while (isalnum((unsigned char)name[n]) || name[n] == '_')
		n++;
	if (braces && (n == 0 || name[n] != '}'))
		return err_set(err, ERR_UNSUPPORTED, "only $NAME and ${NAME} are expanded here");
	if (n == 0) {
		str_addc(out, '$');
		*p += 1;
		return 0;
	}
	value = env_get(config, name, n);
	str_add(out, value ? value : "");
	*p = name + n + braces;
	return 0;
}

/* Reads one word at *p, up to a blank (or up to the end when !split): quotes removed, variables expanded. */
static int read_word(const json_t *config, const char **p, bool split, struct str *out, struct err *err)
{
	char quote = '\0';
	while (**p && (quote || !split || !isspace((unsigned char)**p))) {
		char c = **p;
		if (quote && c == quote) {
			quote = '\0';
		} else if (!quote && (c == '"' || c == '\'')) {
			quote = c;
		} else if (c == '\\' && quote != '\'' && (*p)[1]) {
			/* inside double quotes only \" \$ and \\ are escapes */
			if (quote && !strchr("\"$\\", (*p)[1]))
				str_addc(out, c);
			str_addc(out, *++*p);
		} else if (c == '$' && quote != '\'') {
			if (expand_variable(config, p, out, err) < 0)
				return -1;
			continue;
		} else {
			str_addc(out, c);
		}
		++*p;
	}
	return quote ? err_set(err, ERR_INVALID, "a quote is not closed") : 0;
}

static const char *skip_blanks(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

static int read_words(const json_t *config, const char *p, struct strv *ret, struct err *err)
{
	for (p = skip_blanks(p); *p; p = skip_blanks(p)) {
		struct str word = {0};
		if (read_word(config, &p, true, &word, err) < 0) {
			str_done(&word);
			return -1;
		}
		strv_take(ret, str_take(&word));
	}
	return ret->n ? 0 : err_set(err, ERR_INVALID, "needs at least one argument");
}

/* A JSON array of strings, or NULL when text is not one (then it is in shell form). New reference. */
static json_t *json_form(const char *text)
{
	json_t *v = text[0] == '[' ? json_loads(text, 0, NULL) : NULL, *item;
	size_t i;
	json_array_foreach(v, i, item)
		if (!json_is_string(item)) {
			json_decref(v);
			return NULL;
		}
	return v;
}

static int change_command(struct change *c, const char *key)
{
	json_t *v = json_form(c->rest);
	if (!v) {
		v = json_array();
		json_array_append_new(v, json_string("/bin/sh"));
		json_array_append_new(v, json_string("-c"));
		json_array_append_new(v, json_string(c->rest));
	}
	json_object_set_new(c->config, key, v);
	return 0;
}

static int change_cmd(struct change *c, struct err *err)
{
	(void)err;
	return change_command(c, "Cmd");
}

static int change_entrypoint(struct change *c, struct err *err)
{
	(void)err;
	return change_command(c, "Entrypoint");
}

static void env_set(json_t *config, const char *key, size_t n_key, const char *value)
{
	AUTO_FREE char *kv = xasprintf("%.*s=%s", (int)n_key, key, value);
	json_t *env = json_object_get(config, "Env"), *item;
	size_t i;
	if (!env) {
		env = json_array();
		json_object_set_new(config, "Env", env);
	}
	json_array_foreach(env, i, item) {
		const char *old = json_string_value(item);
		if (strncmp(old, kv, n_key + 1) == 0) {
			json_array_set_new(env, i, json_string(kv));
			return;
		}
	}
	json_array_append_new(env, json_string(kv));
}

static void label_set(json_t *config, const char *key, size_t n_key, const char *value)
{
	AUTO_FREE char *name = xstrndup(key, n_key);
	if (!json_object_get(config, "Labels"))
		json_object_set_new(config, "Labels", json_object());
	json_put_str(json_object_get(config, "Labels"), name, value);
}

/* "KEY=value KEY2=value2" or the old "KEY value to the end". All words are expanded with the values from before the instruction. */
static int change_pairs(struct change *c, void (*set)(json_t *, const char *, size_t, const char *), struct err *err)
{
	AUTO_STRV struct strv words = {0};
	size_t n = strcspn(c->rest, " \t=");
	if (c->rest[n] != '=' && c->rest[n] != '\0') {
		AUTO_STR struct str value = {0};
		const char *p = skip_blanks(c->rest + n);
		if (read_word(c->config, &p, false, &value, err) < 0)
			return -1;
		set(c->config, c->rest, n, str_get(&value));
		return 0;
	}
	if (read_words(c->config, c->rest, &words, err) < 0)
		return -1;
	for (size_t i = 0; i < words.n; i++)
		if (!strchr(words.v[i], '=') || words.v[i][0] == '=')
			return err_set(err, ERR_INVALID, "needs KEY=value pairs");
	for (size_t i = 0; i < words.n; i++) {
		size_t at = strcspn(words.v[i], "=");
		set(c->config, words.v[i], at, words.v[i] + at + 1);
	}
	return 0;
}

static int change_env(struct change *c, struct err *err)
{
	return change_pairs(c, env_set, err);
}

static int change_label(struct change *c, struct err *err)
{
	return change_pairs(c, label_set, err);
}

static void set_add(json_t *config, const char *set, const char *member)
{
	if (!json_object_get(config, set))
		json_object_set_new(config, set, json_object());
	json_object_set_new_nocheck(json_object_get(config, set), member, json_object());
}

/* "80", "80/udp", "8000-8010/tcp". */
static int change_expose(struct change *c, struct err *err)
{
	AUTO_STRV struct strv words = {0};
	if (read_words(c->config, c->rest, &words, err) < 0)
		return -1;
	for (size_t i = 0; i < words.n; i++) {
		char *proto = strchr(words.v[i], '/'), *dash;
		uint64_t lo, hi;
		if (proto)
			*proto++ = '\0';
		dash = strchr(words.v[i], '-');
		if (dash)
			*dash++ = '\0';
		if (!parse_u64(words.v[i], 1, 65535, &lo) || !parse_u64(dash ? dash : words.v[i], lo, 65535, &hi) ||
		    (proto && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0 && strcmp(proto, "sctp") != 0))
			return err_set(err, ERR_INVALID, "needs ports like 80, 53/udp or 8000-8010");
		for (uint64_t port = lo; port <= hi; port++) {
			char text[24];
			snprintf(text, sizeof(text), "%u/%s", (unsigned)port, proto ? proto : "tcp");
			set_add(c->config, "ExposedPorts", text);
		}
	}
	return 0;
}

static int change_volume(struct change *c, struct err *err)
{
	json_t *list = json_form(c->rest), *item;
	AUTO_STRV struct strv words = {0};
	size_t i;
	int rc = 0;
	json_array_foreach(list, i, item)
		strv_push(&words, json_string_value(item));
	if (!list)
		rc = read_words(c->config, c->rest, &words, err);
	json_decref(list);
	for (i = 0; rc == 0 && i < words.n; i++) {
		if (words.v[i][0] != '/')
			rc = err_set(err, ERR_INVALID, "needs absolute paths");
		else
			set_add(c->config, "Volumes", words.v[i]);
	}
	return rc;
}

/* One word, expanded. */
static int one_word(struct change *c, struct str *ret, struct err *err)
{
	const char *p = c->rest;
	if (read_word(c->config, &p, false, ret, err) < 0)
		return -1;
	return ret->len ? 0 : err_set(err, ERR_INVALID, "needs an argument");
}

static int change_user(struct change *c, struct err *err)
{
	AUTO_STR struct str word = {0};
	if (one_word(c, &word, err) < 0)
		return -1;
	json_put_str(c->config, "User", word.p);
	return 0;
}

static int change_stopsignal(struct change *c, struct err *err)
{
	AUTO_STR struct str word = {0};
	if (one_word(c, &word, err) < 0)
		return -1;
	if (proc_signal_parse(word.p) < 0)
		return err_set(err, ERR_INVALID, "no such signal");
	json_put_str(c->config, "StopSignal", word.p);
	return 0;
}

/* A relative directory is meant from the one before. */
static int change_workdir(struct change *c, struct err *err)
{
	AUTO_STR struct str word = {0};
	AUTO_FREE char *path = NULL;
	if (one_word(c, &word, err) < 0)
		return -1;
	path = word.p[0] == '/' ? xstrdup(word.p) : xasprintf("%s/%s", json_get_str(c->config, "WorkingDir", ""), word.p);
	while (strlen(path) > 1 && str_ends(path, "/"))
		path[strlen(path) - 1] = '\0';
	json_put_str(c->config, "WorkingDir", path);
	return 0;
}

static const struct {
	const char *word;
	int (*apply)(struct change *c, struct err *err); /* NULL: known, not supported */
} changes[] = {
	{ "CMD", change_cmd }, { "ENTRYPOINT", change_entrypoint }, { "ENV", change_env }, { "EXPOSE", change_expose },
	{ "LABEL", change_label }, { "STOPSIGNAL", change_stopsignal }, { "USER", change_user }, { "VOLUME", change_volume },
	{ "WORKDIR", change_workdir }, { "HEALTHCHECK", NULL }, { "ONBUILD", NULL },
};

static bool is_utf8(const char *text)
{
	json_t *v = json_string(text);
	json_decref(v);
	return v != NULL;
}

int image_config_change(json_t *config, const char *instruction, struct err *err)
{
	const char *word = skip_blanks(instruction);
	size_t n = strcspn(word, " \t\r\n");
	struct change c = { .config = json_object_get(config, "config"), .rest = skip_blanks(word + n) };
	AUTO_FREE char *rest = xstrdup(c.rest);
	char shown[128];
	err_quote(shown, sizeof(shown), instruction);
	if (!is_utf8(instruction))
		return err_set(err, ERR_INVALID, "change \"%s\": not UTF-8", shown);
	for (size_t i = strlen(rest); i > 0 && isspace((unsigned char)rest[i - 1]); i--)
		rest[i - 1] = '\0';
	c.rest = rest;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		if (strlen(changes[i].word) != n || strncasecmp(changes[i].word, word, n) != 0)
			continue;
		if (!changes[i].apply)
			return err_set(err, ERR_UNSUPPORTED, "change \"%s\": %s is not supported yet", shown, changes[i].word);
		if (!*rest)
			return err_set(err, ERR_INVALID, "change \"%s\": needs an argument", shown);
		return changes[i].apply(&c, err) < 0 ? err_wrap(err, "change \"%s\"", shown) : 0;
	}
	return err_set(err, ERR_INVALID, "change \"%s\": not an instruction that can be applied to an image", shown);
}

char *image_config_platform(const char *text)
{
	static const char *const same[][2] = {
		{ "x86_64", "amd64" }, { "x86-64", "amd64" }, { "aarch64", "arm64" }, { "i386", "386" }, { "i686", "386" }, { "armhf", "arm" },
		{ "armel", "arm" },
	};
	AUTO_FREE char *copy = xstrdup(text);
	char *save = NULL, *a = strtok_r(copy, "/", &save), *b = strtok_r(NULL, "/", &save), *c = strtok_r(NULL, "/", &save);
	const char *arch, *variant;
	if (!a || strtok_r(NULL, "/", &save) || str_starts(text, "/") || str_ends(text, "/") || strstr(text, "//"))
		return NULL;
	if (!b && (strcmp(a, "local") == 0 || strcmp(a, "linux") == 0))
		return xasprintf("linux/%s", image_config_host_arch());
	if (b && strcmp(a, "linux") != 0)
		return NULL;
	arch = b ? b : a;
	variant = b && c ? c : strcmp(arch, "armel") == 0 ? "v6" : "";
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (strcasecmp(arch, same[i][0]) == 0) {
			arch = same[i][1];
			break;
		}
	if ((strcmp(arch, "arm64") == 0 && (strcmp(variant, "v8") == 0 || strcmp(variant, "8") == 0)) ||
		(strcmp(arch, "amd64") == 0 && strcmp(variant, "v1") == 0))
		variant = "";
	if (strcmp(arch, "arm") == 0 && (!*variant || strcmp(variant, "7") == 0))
		variant = "v7";
	if (strspn(arch, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(arch) ||
	    strspn(variant, "abcdefghijklmnopqrstuvwxyz0123456789.") != strlen(variant))
		return NULL;
	return xasprintf("linux/%s%s%s", arch, *variant ? "/" : "", variant);
}
