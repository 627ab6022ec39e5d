/* SPDX-License-Identifier: Apache-2.0 */
/* Images by digest. The store is only read, and only when a reference has no digest yet: a project whose images are all
 * pinned needs neither a store nor rights. The digest is the manifest's that the registry gave when the image was pulled (of the
 * index, when the name led to one), since that is what another machine can pull by; an image that was imported or loaded has none. */
#include "compose/pin.h"

#include <stdio.h>

#include "images/store.h"
#include "spec/imageref.h"
#include "spec/shape.h"
#include "spec/yaml_out.h"

struct pin {
	struct app *app;
	struct project *p;
	struct store *store;
	const struct node *services;
	bool lock;
	bool needs_store;   /* the first walk only finds this out */
	bool looks_only;
};

/* Puts the digest of the image at *ref. 0, or -1 with the error reported. */
static int find_digest(struct pin *x, struct imageref *ref, const struct node *image, const char *path)
{
	struct diags *ds = &x->p->diags;
	AUTO_IMAGE struct image img = { 0 };
	AUTO_FREE char *digest = NULL;
	struct err err = { 0 };
	if (!x->store)
		err_set(&err, ERR_NOT_FOUND, "image \"%s\" not found locally", diag_quote(ds, image->text));
	if (!x->store || store_lookup(x->store, image->text, &img, &err) < 0 || store_pulled_digest(x->store, image->text, &digest, &err) < 0) {
		diag_hint(ds, diag_err(ds, image->pos, path, &err),
			"digests are looked up in the local store: pull the image first, or write NAME@sha256:DIGEST");
		return -1;
	}
	if (!digest) {
		diag_hint(ds, diag_error(ds, image->pos, path, "image \"%s\" has no digest", diag_quote(ds, image->text)),
			"it was not pulled under this name but imported, loaded, tagged or built: only a registry gives a digest");
		return -1;
	}
	ref->digest = arena_strdup(x->app->arena, digest);
	return 0;
}

static void pin_one(struct pin *x, struct node *image, const char *path)
{
	struct arena *a = x->app->arena;
	struct imageref ref;
	struct err err = { 0 };
	if (!node_is(image, NODE_STRING) || !*image->text)
		return;
	if (x->looks_only) {
		x->needs_store |= !strchr(image->text, '@');
		return;
	}
	if (imageref_parse(image->text, a, &ref, &err) < 0) {
		diag_err(&x->p->diags, image->pos, path, &err);
		return;
	}
	if (ref.digest) {
		ref.tag = NULL;
	} else {
		if (!ref.tag)
			ref.tag = "latest";
		if (find_digest(x, &ref, image, path) < 0)
			return;
	}
	image->text = imageref_full(&ref, a);
}

static void pin_hooks(struct pin *x, const char *service, const struct node *hooks, const struct node *own)
{
	struct arena *a = x->app->arena;
	for (size_t i = 0; node_is(hooks, NODE_SEQ) && i < hooks->n; i++) {
		struct node *image = node_get(hooks->items[i], "image");
		if (!node_is(image, NODE_STRING))
			continue;
		if (image->implied && own) {
			image->text = own->text; /* nobody wrote it: it is the service's */
		} else if (!x->lock) {
			pin_one(x, image, arena_printf(a, "services.%s.pre_start[%zu].image", service, i));
		} else if (!x->looks_only) {
			diag_warning(&x->p->diags, image->pos, arena_printf(a, "services.%s.pre_start[%zu].image", service, i),
				"the images of hooks are not pinned by --lock-image-digests, as lists are appended when files are merged: "
				"use what --resolve-image-digests prints");
			return;
		}
	}
}

static void pin_service(struct pin *x, const struct node_entry *e)
{
	struct arena *a = x->app->arena;
	struct node *own = node_get(e->value, "image");
	const struct node *volumes = node_get(e->value, "volumes");
	pin_one(x, own, arena_printf(a, "services.%s.image", e->key));
	pin_hooks(x, e->key, node_get(e->value, "pre_start"), own);
	for (size_t i = 0; node_is(volumes, NODE_SEQ) && i < volumes->n; i++) {
		struct node *source = node_get(volumes->items[i], "source");
		if (!str_eq(node_str(volumes->items[i], "type", ""), "image") || !node_is(source, NODE_STRING))
			continue;
		if (!node_get(x->services, source->text) && !strv_has(&x->p->load.disabled, source->text))
			pin_one(x, source, arena_printf(a, "services.%s.volumes[%zu].source", e->key, i));
	}
}

static void pin_services(struct pin *x)
{
	for (size_t i = 0; node_is(x->services, NODE_MAP) && i < x->services->n; i++)
		pin_service(x, &x->services->entries[i]);
}

static const struct shape *shape_of(const struct project *p)
{
	return p->load.no_interpolate ? NULL : &shape_project;
}

int pin_images(struct app *app, struct project *p, bool lock)
{
	struct pin x = { .app = app, .p = p, .lock = lock, .services = node_get(p->load.tree, "services"), .looks_only = true };
	struct err err;
	AUTO_STORE struct store *store = NULL;
	pin_services(&x);
	if (x.needs_store && cmd_paths(app, false))
		return 1;
	if (x.needs_store && app->paths.root_fd >= 0 && store_open(app->paths.root_fd, &store, &err) < 0)
		return cmd_fail(app, &err);
	x.store = store;
	x.looks_only = false;
	diags_init(&p->diags, app->arena); /* what loading found is printed already */
	pin_services(&x);
	if (p->load.config) {
		json_decref(p->load.config);
		p->load.config = shape_json(p->load.tree, shape_of(p), false);
	}
	return project_print_diags(app, p);
}

void pin_lock_file(const struct project *p, bool json, struct str *ret)
{
	AUTO_JSON json_t *all = shape_json(p->load.tree, shape_of(p), !json), *doc = json_object();
	json_t *list = json_object(), *service, *mount;
	const char *name;
	size_t i;
	json_object_foreach(json_object_get(all, "services"), name, service) {
		json_t *one = json_object(), *volumes = json_array();
		if (*json_get_str(service, "image", ""))
			json_object_set(one, "image", json_object_get(service, "image"));
		json_array_foreach(json_object_get(service, "volumes"), i, mount)
			if (str_eq(json_get_str(mount, "type", ""), "image"))
				json_array_append(volumes, mount);
		if (json_array_size(volumes))
			json_object_set(one, "volumes", volumes);
		json_decref(volumes);
		json_object_set_new(list, name, one);
	}
	json_object_set_new(doc, "services", list);
	if (json) {
		AUTO_FREE char *text = json_dumps(doc, JSON_INDENT(2));
		str_addf(ret, "%s\n", text);
	} else {
		yaml_out(doc, !p->load.no_interpolate, ret);
	}
}
