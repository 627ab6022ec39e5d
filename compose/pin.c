/* SPDX-License-Identifier: Apache-2.0 */
/* Images by digest. The store is only read, and only when a reference has no digest yet: a project whose images are all
 * pinned needs neither a store nor rights. The digest is the one that the store finds the image by again, whatever its tag
 * points at by then. */
#include "compose/pin.h"

#include <stdio.h>

#include "images/store.h"
#include "spec/imageref.h"
#include "spec/yaml_out.h"

struct pin {
	struct app *app;
	struct project *p;
	struct store *store;
};

/* The place and path of a service's image, for a diagnostic. */
static struct diag *complain(struct pin *x, const char *service, const struct node *image, const struct err *err)
{
	return diag_err(&x->p->diags, image->pos, arena_printf(x->app->arena, "services.%s.image", service), err);
}

static void pin_one(struct pin *x, const char *service, struct node *image)
{
	struct arena *a = x->app->arena;
	AUTO_IMAGE struct image img = { 0 };
	struct imageref ref;
	struct err err = { 0 };
	struct diag *d;
	if (imageref_parse(image->text, a, &ref, &err) < 0) {
		complain(x, service, image, &err);
		return;
	}
	if (ref.digest) {
		ref.tag = NULL;
	} else {
		if (!ref.tag)
			ref.tag = "latest";
		if (!x->store)
			err_set(&err, ERR_NOT_FOUND, "image \"%s\" not found locally", diag_quote(&x->p->diags, image->text));
		if (!x->store || store_lookup(x->store, image->text, &img, &err) < 0) {
			d = complain(x, service, image, &err);
			diag_hint(&x->p->diags, d, "digests are looked up in the local store: get the image first, or write NAME@sha256:DIGEST");
			return;
		}
		ref.digest = arena_printf(a, "sha256:%s", img.id);
	}
	image->text = imageref_full(&ref, a);
}

int pin_images(struct app *app, struct project *p)
{
	struct node *services = node_get(p->load.tree, "services");
	struct pin x = { .app = app, .p = p };
	struct err err;
	AUTO_STORE struct store *store = NULL;
	bool needed = false;
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		const char *image = node_str(services->entries[i].value, "image", "");
		needed |= *image && !strchr(image, '@');
	}
	if (needed && cmd_paths(app, false))
		return 1;
	if (needed && app->paths.root_fd >= 0 && store_open(app->paths.root_fd, &store, &err) < 0)
		return cmd_fail(app, &err);
	x.store = store;
	diags_init(&p->diags, app->arena); /* what loading found is printed already */
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		const struct node_entry *e = &services->entries[i];
		struct node *image = node_get(e->value, "image");
		if (!node_is(image, NODE_STRING) || !*image->text)
			continue;
		pin_one(&x, e->key, image);
		if (p->load.config)
			json_put_str(json_object_get(json_object_get(p->load.config, "services"), e->key), "image", image->text);
	}
	return project_print_diags(app, p);
}

void pin_lock_file(const struct project *p, bool json, struct str *ret)
{
	const struct node *services = node_get(p->load.tree, "services");
	AUTO_JSON json_t *doc = json_object();
	json_t *list = json_object();
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		json_t *one = json_object();
		if (*node_str(services->entries[i].value, "image", ""))
			json_put_str(one, "image", node_str(services->entries[i].value, "image", ""));
		json_object_set_new(list, services->entries[i].key, one);
	}
	json_object_set_new(doc, "services", list);
	if (json) {
		AUTO_FREE char *text = json_dumps(doc, JSON_INDENT(2));
		str_addf(ret, "%s\n", text);
	} else {
		yaml_out(doc, true, ret);
	}
}
