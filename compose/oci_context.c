/* SPDX-License-Identifier: Apache-2.0 */
/* The layout goes through the same jailed process as `image load` reads, with an index.json of one entry in place of its own: which entry is meant
 * is all that is decided here. */
#include "compose/oci_context.h"

#include <fcntl.h>

#include "base/fs.h"
#include "compose/image_client.h"
#include "compose/oci_dir.h"

enum { MAX_INDEX = 4 << 20 };

struct place {
	char *path, *tag;
	char *digest;             /* NULL: the tag counts */
	bool has_tag;
};

static void place_done(struct place *p)
{
	free(p->path);
	free(p->tag);
	free(p->digest);
}

static struct place parse(const char *ref)
{
	const char *text = ref + strlen(OCI_CONTEXT_PREFIX), *at = strrchr(text, '@'), *slash, *colon;
	struct place p = { .path = at ? xstrndup(text, (size_t)(at - text)) : xstrdup(text), .digest = at ? xstrdup(at + 1) : NULL };
	slash = strrchr(p.path, '/');
	colon = strchr(slash ? slash : p.path, ':');
	p.has_tag = colon != NULL;
	p.tag = xstrdup(colon ? colon + 1 : "latest");
	if (colon)
		p.path[colon - p.path] = '\0';
	return p;
}

static bool is_tag(const json_t *entry, const char *tag)
{
	const json_t *notes = json_object_get(entry, "annotations");
	const char *name = json_get_str(notes, "org.opencontainers.image.ref.name", ""), *full = json_get_str(notes, "io.containerd.image.name", "");
	const char *colon = strrchr(full, ':');
	return strcmp(name, tag) == 0 || (colon && strcmp(colon + 1, tag) == 0);
}

/* The entry that is meant, borrowed; NULL + err. */
static const json_t *choose(const json_t *index, const struct place *p, struct err *err)
{
	const json_t *list = json_object_get(index, "manifests"), *entry;
	char quoted[200];
	size_t i;
	json_array_foreach(list, i, entry)
		if (p->digest ? strcmp(json_get_str(entry, "digest", ""), p->digest) == 0 : is_tag(entry, p->tag))
			return entry;
	if (!p->digest && !p->has_tag && json_array_size(list) == 1)
		return json_array_get(list, 0);
	err_set(err, ERR_NOT_FOUND, "the layout has no image %s", err_quote(quoted, sizeof(quoted), p->digest ? p->digest : p->tag));
	return NULL;
}

/* index.json with nothing but the entry, without its names; free() it. NULL + err. */
static char *narrow(int dir_fd, const struct place *p, struct err *err)
{
	AUTO_STR struct str text = { 0 };
	AUTO_JSON json_t *index = NULL, *out = NULL;
	const json_t *entry;
	json_t *copy;
	if (fs_read(dir_fd, "index.json", MAX_INDEX, &text, err) != 0) {
		err_set(err, ERR_INVALID, "the directory is no OCI layout: there is no index.json");
		return NULL;
	}
	index = json_loadb(str_get(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
	if (!index) {
		err_set(err, ERR_CORRUPT, "index.json is not JSON");
		return NULL;
	}
	entry = choose(index, p, err);
	if (!entry)
		return NULL;
	copy = json_deep_copy(entry);
	json_object_del(copy, "annotations");
	json_object_del(copy, "platform"); /* who names it wants it, whatever it says */
	out = json_pack("{s:i,s:[o]}", "schemaVersion", 2, "manifests", copy);
	return json_canonical(out);
}

static void note_id(void *arg, const struct image_event *ev)
{
	if (ev->kind == IMAGE_LOADED && ev->id)
		memcpy(arg, ev->id, 65);
}

int oci_context_load(const struct app *app, const char *ref, const char *platform, char ret_id[static 65], struct err *err)
{
	CLEANUP(place_done) struct place p = parse(ref);
	AUTO_CLOSE int fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *index = NULL;
	char quoted[200];
	pid_t writer = 0;
	int rc;
	if (fd < 0)
		return err_sys(err, errno, "open %s", err_quote(quoted, sizeof(quoted), p.path));
	index = narrow(fd, &p, err);
	ret_id[0] = '\0';
	if (!index || oci_dir_read_as(&fd, index, &writer, err) < 0)
		return -1;
	rc = image_client_load(app->paths.root_fd, fd, platform, note_id, ret_id, err);
	util_close(&fd); /* a writer that nobody reads from any more ends */
	if (oci_dir_end(writer, rc < 0 ? NULL : err) < 0 || rc < 0)
		return -1;
	return ret_id[0] ? 0 : err_set(err, ERR_CORRUPT, "muster-image did not say which image it made");
}
