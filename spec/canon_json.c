/* SPDX-License-Identifier: Apache-2.0 */
/* The model as indented JSON text, written the way Go's encoding/json writes it (escapes of < > &, short numbers), so that a
 * diff against the reference's output is empty. */
#include "spec/canon.h"

#include <stdio.h>

#include "spec/scalar.h"
#include "spec/yaml_out.h"

struct out {
	struct str *s;
	bool escape_dollar;
};

/* Bytes that are written as they are. */
static size_t plain_len(const char *text)
{
	const char *p = text;
	while ((unsigned char)*p >= 0x20 && !strchr("\"\\<>&", *p) && strncmp(p, "\xe2\x80\xa8", 3) != 0 && strncmp(p, "\xe2\x80\xa9", 3) != 0)
		p++;
	return (size_t)(p - text);
}

static void put_string(struct out *o, const char *p)
{
	static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
	str_addc(o->s, '"');
	while (*p) {
		size_t n = plain_len(p);
		const char *hit = strchr(special, p[n]);
		yaml_out_text(o->s, p, n, o->escape_dollar);
		p += n;
		if (!*p)
			break;
		if (hit)
			str_addf(o->s, "\\%c", letter[hit - special]);
		else if (*p == '\xe2')
			str_addf(o->s, "\\u202%c", p[2] == '\xa8' ? '8' : '9');
		else
			str_addf(o->s, "\\u%04x", (unsigned char)*p);
		p += *p == '\xe2' ? 3 : 1;
	}
	str_addc(o->s, '"');
}

static void put_indent(struct out *o, unsigned depth)
{
	str_addc(o->s, '\n');
	for (unsigned i = 0; i < depth; i++)
		str_add(o->s, "  ");
}

static void put_value(struct out *o, const json_t *j, unsigned depth);

static void put_array(struct out *o, const json_t *j, unsigned depth)
{
	size_t n = json_array_size(j);
	str_addc(o->s, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			str_addc(o->s, ',');
		put_indent(o, depth + 1);
		put_value(o, json_array_get(j, i), depth + 1);
	}
	if (n)
		put_indent(o, depth);
	str_addc(o->s, ']');
}

static void put_member(struct out *o, const char *key, const json_t *value, bool first, unsigned depth)
{
	if (!first)
		str_addc(o->s, ',');
	put_indent(o, depth + 1);
	put_string(o, key);
	str_add(o->s, ": ");
	put_value(o, value, depth + 1);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The top level is a map in the reference, everything below keeps its order. */
static void put_object(struct out *o, const json_t *j, unsigned depth)
{
	size_t n = json_object_size(j), i = 0;
	AUTO_FREE const char **keys = xcalloc(n, sizeof(*keys));
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)j, key, value)
		keys[i++] = key;
	if (depth == 0)
		qsort(keys, n, sizeof(*keys), compare_keys);
	str_addc(o->s, '{');
	for (i = 0; i < n; i++)
		put_member(o, keys[i], json_object_get(j, keys[i]), i == 0, depth);
	if (n)
		put_indent(o, depth);
	str_addc(o->s, '}');
}

static void put_value(struct out *o, const json_t *j, unsigned depth)
{
	char buf[40];
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		put_object(o, j, depth);
		break;
	case JSON_ARRAY:
		put_array(o, j, depth);
		break;
	case JSON_STRING:
		put_string(o, json_string_value(j));
		break;
	case JSON_INTEGER:
		str_addf(o->s, "%lld", (long long)json_integer_value(j));
		break;
	case JSON_REAL:
		scalar_format_json(json_real_value(j), false, buf);
		str_add(o->s, buf);
		break;
	case JSON_NULL:
		str_add(o->s, "null");
		break;
	default:
		str_add(o->s, json_is_true(j) ? "true" : "false");
	}
}

int canon_json(const struct load_result *r, struct str *ret, struct err *err)
{
	struct out o = { .s = ret, .escape_dollar = !r->no_interpolate };
	const struct node *services = node_get(r->tree, "services");
	for (size_t i = 0; !r->no_interpolate && node_is(services, NODE_MAP) && i < services->n; i++) {
		const struct node *ssh = node_at(services->entries[i].value, "build", "ssh", NULL);
		for (size_t k = 0; ssh && k < ssh->n; k++)
			if (*ssh->entries[k].value->text)
				return err_set(err, ERR_UNSUPPORTED, "services.%s.build.ssh: a key with a path has no JSON form; use --format yaml",
					services->entries[i].key);
	}
	put_object(&o, r->config, 0);
	return 0;
}
