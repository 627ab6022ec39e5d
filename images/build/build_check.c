/* SPDX-License-Identifier: Apache-2.0 */
/* `--check`: the Dockerfile is looked at and nothing is built. Images that are here tell their environment; none is pulled for it. */
#include "images/build/build_impl.h"
#include "images/build/check.h"

struct asker {
	struct build *b;
};

static char *const *environment_of(void *arg, const char *image)
{
	struct build *b = ((struct asker *)arg)->b;
	struct image img = {0};
	char **env;
	if (store_lookup(b->store, image, &img, NULL) < 0)
		return NULL;
	env = arena_alloc(b->arena, (img.env.n + 1) * sizeof(*env));
	for (size_t i = 0; i < img.env.n; i++)
		env[i] = arena_strdup(b->arena, img.env.v[i]);
	image_done(&img);
	return env;
}

int build_check(struct build *b, const char *form, struct err *err)
{
	struct asker asker = { b };
	struct build_source context = {0};
	struct build_stage here = { .b = b };
	struct check_options o = { .expand = b->expand, .image_env = environment_of, .arg = &asker };
	struct check_report *report = NULL;
	AUTO_STR struct str text = {0};
	json_t *j;
	int rc;
	o.expand.build_args = &b->build_args;
	o.target = o.expand.target_stage = json_get_str(b->request, "target", "");
	if (build_context_find(b, "") && build_source_open(&here, "", &context, err) == 0)
		o.ignore = context.copy.ignore;
	rc = check_dockerfile(b->arena, &b->source, &o, &b->diags, &report);
	build_source_done(&context);
	if (rc < 0)
		return -1;
	j = json_object();
	json_put_str(j, "event", "check");
	check_render(report, &text);
	json_object_set_new(j, "text", json_text(str_get(&text)));
	if (strcmp(form, "json") == 0)
		json_object_set_new(j, "json", check_json(report));
	json_object_set_new(j, "fatal", json_boolean(report->fatal));
	peers_tell(b->peers, j);
	return 0;
}
