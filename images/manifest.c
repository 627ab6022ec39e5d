/* SPDX-License-Identifier: Apache-2.0 */
/* What a document is, its own fields say: "manifests" is an index, "config" and "layers" an image; the media type that the server
 * sends along is not believed, so that a document cannot be read in two ways (CVE-2021-41190: one that has both is refused). */
#include "images/manifest.h"

#include <stdio.h>

#include "base/str.h"

enum { MAX_MANIFESTS = 1000 };

json_t *manifest_platform_json(const char *platform)
{
	AUTO_FREE char *copy = xstrdup(platform);
	char *save = NULL, *os = strtok_r(copy, "/", &save), *arch = strtok_r(NULL, "/", &save), *variant = strtok_r(NULL, "/", &save);
	json_t *j = json_object();
	json_put_str(j, "architecture", arch ? arch : "");
	json_put_str(j, "os", os ? os : "linux");
	if (variant)
		json_put_str(j, "variant", variant);
	return j;
}

const char *manifest_digest_hex(const char *digest)
{
	const char *hex = digest && str_starts(digest, "sha256:") ? digest + strlen("sha256:") : NULL;
	return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64 ? hex : NULL;
}

static bool copy_text(char *to, size_t size, const char *from)
{
	if (strlen(from) >= size)
		return false;
	memcpy(to, from, strlen(from) + 1);
	return true;
}

/* "x86_64" and the like in Go's words. */
static const char *normal_arch(const char *arch)
{
	static const char *const names[][2] = { { "x86_64", "amd64" }, { "x86-64", "amd64" }, { "aarch64", "arm64" }, { "i386", "386" },
		{ "i686", "386" }, { "armhf", "arm" } };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(arch, names[i][0]) == 0)
			return names[i][1];
	return arch;
}

int manifest_parse_platform(const char *text, struct platform *ret, struct err *err)
{
	AUTO_FREE char *copy = xstrdup(text && *text ? text : "linux");
	char *arch = strchr(copy, '/'), *variant = arch ? strchr(arch + 1, '/') : NULL;
	char shown[120];
	*ret = (struct platform){0};
	err_quote(shown, sizeof(shown), text ? text : "");
	if (variant)
		*variant++ = '\0';
	if (arch)
		*arch++ = '\0';
	if (strcmp(copy, "linux") != 0)
		return err_set(err, ERR_UNSUPPORTED, "platform \"%s\": only linux/… is supported", shown);
	copy_text(ret->os, sizeof(ret->os), copy);
	if ((arch && !*arch) || (variant && (!*variant || strchr(variant, '/'))) ||
	    !copy_text(ret->architecture, sizeof(ret->architecture), normal_arch(arch ? arch : image_config_host_arch())) ||
	    !copy_text(ret->variant, sizeof(ret->variant), variant ? variant : ""))
		return err_set(err, ERR_INVALID, "platform \"%s\": not of the form linux/ARCHITECTURE[/VARIANT]", shown);
	return 0;
}

static int read_descriptor(const json_t *j, struct descriptor *ret, struct err *err)
{
	const char *digest = json_get_str(j, "digest", "");
	int64_t size = json_get_int(j, "size", -1);
	if (!manifest_digest_hex(digest))
		return err_set(err, ERR_UNSUPPORTED, "a descriptor without a sha256 digest");
	if (size < 0 || (uint64_t)size >> MANIFEST_MAX_LAYER_BYTES_SHIFT)
		return err_set(err, ERR_INVALID, "a descriptor without a size, or with one above 64 GiB");
	copy_text(ret->digest, sizeof(ret->digest), digest);
	ret->size = (uint64_t)size;
	if (!copy_text(ret->type, sizeof(ret->type), json_get_str(j, "mediaType", "")))
		return err_set(err, ERR_INVALID, "a media type that is too long");
	return 0;
}

/* How well this entry fits: 0 not at all; higher is better. A variant of the same family below the wanted one will do. */
static unsigned fitness(const struct platform *want, const json_t *entry)
{
	const json_t *p = json_object_get(entry, "platform");
	const char *variant = json_get_str(p, "variant", ""), *arch = json_get_str(p, "architecture", "");
	const char *mine = want->variant;
	if (json_object_get(json_object_get(entry, "annotations"), "vnd.docker.reference.type"))
		return 0; /* an attestation about another manifest */
	if (!p)
		return 1;
	if (strcmp(json_get_str(p, "os", ""), want->os) != 0 || strcmp(normal_arch(arch), want->architecture) != 0)
		return 0;
	if (strcmp(want->architecture, "arm64") == 0) {
		mine = *mine ? mine : "v8";
		variant = *variant ? variant : "v8";
	} else if (strcmp(want->architecture, "arm") == 0) {
		mine = *mine ? mine : "v7";
		variant = *variant ? variant : "v7";
	}
	if (strcmp(variant, mine) == 0)
		return 100;
	if (!*variant)
		return 50;
	if (variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9' && !variant[2] && mine[0] == 'v' && variant[1] < mine[1])
		return 10 + (unsigned)(variant[1] - '0');
	return 0;
}

static int choose(const json_t *list, const struct platform *want, struct descriptor *ret, struct err *err)
{
	AUTO_STR struct str have = {0};
	const json_t *best = NULL;
	unsigned best_fit = 0;
	char shown[200];
	if (json_array_size(list) > MAX_MANIFESTS)
		return err_set(err, ERR_INVALID, "an index of more than the %d manifests allowed", MAX_MANIFESTS);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i), *p = json_object_get(entry, "platform");
		unsigned fit = json_is_object(entry) ? fitness(want, entry) : 0;
		if (fit > best_fit) {
			best = entry;
			best_fit = fit;
		}
		if (p && strcmp(json_get_str(p, "os", "unknown"), "unknown") != 0 && have.len < 150)
			str_addf(&have, "%s%s/%s%s%s", have.len ? ", " : "", json_get_str(p, "os", ""), json_get_str(p, "architecture", ""),
				*json_get_str(p, "variant", "") ? "/" : "", json_get_str(p, "variant", ""));
	}
	if (!best)
		return err_set(err, ERR_NOT_FOUND, "no image for %s/%s%s%s; there is: %s", want->os, want->architecture, *want->variant ? "/" : "",
			want->variant, err_quote(shown, sizeof(shown), str_get(&have)));
	return read_descriptor(best, ret, err);
}

static bool is_config_type(const char *type)
{
	return strcmp(type, "application/vnd.oci.image.config.v1+json") == 0 ||
		strcmp(type, "application/vnd.docker.container.image.v1+json") == 0;
}

/* An OCI manifest may leave it out. What it says is one of the two, or the document is none of them. */
static int read_type(const json_t *j, struct manifest *m, struct err *err)
{
	const char *type = json_get_str(j, "mediaType", "");
	if (!*type)
		type = strstr(m->config.type, "docker") ? DOCKER_MANIFEST : OCI_MANIFEST;
	if (strcmp(type, OCI_MANIFEST) != 0 && strcmp(type, DOCKER_MANIFEST) != 0)
		return err_set(err, ERR_CORRUPT, "manifest: its media type is not that of an image");
	copy_text(m->type, sizeof(m->type), type);
	return 0;
}

static int read_layers(const json_t *list, struct manifest *m, struct err *err)
{
	if (!json_is_array(list) || json_array_size(list) > IMAGE_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "\"layers\" is not a list of at most %d", IMAGE_MAX_LAYERS);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct descriptor *d = &m->layers[i];
		char shown[160];
		if (read_descriptor(json_array_get(list, i), d, err) < 0)
			return err_wrap(err, "layer %zu", i + 1);
		if (!strstr(d->type, ".tar") || strstr(d->type, "encrypted"))
			return err_set(err, ERR_UNSUPPORTED, "layer %zu is of a type that is not supported: \"%s\"", i + 1,
				err_quote(shown, sizeof(shown), d->type));
		m->layer_bytes += d->size;
	}
	m->n_layers = json_array_size(list);
	return 0;
}

int manifest_parse(const char *text, size_t n, const struct platform *want, struct manifest *ret, struct descriptor *ret_choice,
	struct err *err)
{
	AUTO_JSON json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *list = json_object_get(j, "manifests"), *config = json_object_get(j, "config"), *layers = json_object_get(j, "layers");
	char shown[160];
	*ret = (struct manifest){0};
	*ret_choice = (struct descriptor){0};
	if (!json_is_object(j))
		return err_set(err, ERR_CORRUPT, "manifest: not a JSON object");
	if (json_get_int(j, "schemaVersion", 0) == 1)
		return err_set(err, ERR_UNSUPPORTED, "manifest: schema 1, which was given up in 2019, is not supported: push the image again");
	if (json_get_int(j, "schemaVersion", 0) != 2 || (list && (config || layers)))
		return err_set(err, ERR_CORRUPT, "manifest: neither an image nor an index");
	if (json_is_array(list))
		return choose(list, want, ret_choice, err) < 0 ? -1 : 1;
	if (read_descriptor(config, &ret->config, err) < 0)
		return err_wrap(err, "manifest: configuration");
	if (!is_config_type(ret->config.type))
		return err_set(err, ERR_UNSUPPORTED, "this is no container image, but \"%s\"", err_quote(shown, sizeof(shown), ret->config.type));
	if (read_type(j, ret, err) < 0)
		return -1;
	if (ret->config.size > IMAGE_MAX_CONFIG_BYTES)
		return err_set(err, ERR_INVALID, "manifest: a configuration larger than the %d bytes allowed", IMAGE_MAX_CONFIG_BYTES);
	return read_layers(layers, ret, err) < 0 ? err_wrap(err, "manifest") : 0;
}

static json_t *descriptor_json(const struct descriptor *d)
{
	json_t *j = json_object();
	json_put_str(j, "mediaType", d->type);
	json_put_str(j, "digest", d->digest);
	json_put_int(j, "size", (int64_t)d->size);
	return j;
}

char *manifest_make(const struct descriptor *config, const struct descriptor *layers, size_t n)
{
	AUTO_JSON json_t *j = json_object();
	json_t *list = json_array();
	json_put_int(j, "schemaVersion", 2);
	json_put_str(j, "mediaType", OCI_MANIFEST);
	json_object_set_new(j, "config", descriptor_json(config));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, descriptor_json(&layers[i]));
	json_object_set_new(j, "layers", list);
	return json_canonical(j);
}
