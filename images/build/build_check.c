/* SPDX-License-Identifier: Apache-2.0 */
/* `--check`: the Dockerfile is looked at and nothing is built. Images that are here tell their environment; none is pulled for it. And what
 * `# check=error=true` asks of a build. */
#include "images/build/build_impl.h"
#include "images/build/check.h"

#define CONFIG "BUILDKIT_DOCKERFILE_CHECK" /* a build argument that stands for the directive */

struct asker {
	struct build *b;
	bool unknown; /* there is an image that is not here */
};

static char *const *environment_of(void *arg, const char *image)
{
	struct asker *asker = arg;
	struct build *b = asker->b;
	struct image img = {0};
	char **env;
	if (store_lookup(b->store, image, &img, NULL) < 0) {
		asker->unknown = true;
		return NULL;
	}
	env = arena_alloc(b->arena, (img.env.n + 1) * sizeof(*env));
	for (size_t i = 0; i < img.env.n; i++)
		env[i] = arena_strdup(b->arena, img.env.v[i]);
	image_done(&img);
	return env;
}

/* As check_dockerfile(). */
static int check(struct build *b, const char *target, struct asker *asker, struct diags *ds, struct check_report **ret)
{
	struct build_source context = {0};
	struct build_stage here = { .b = b };
	struct check_options o = { .expand = b->expand, .image_env = environment_of, .arg = asker, .target = target };
	struct err ignored;
	int rc;
	o.expand.build_args = &b->build_args;
	o.expand.target_stage = json_get_str(b->request, "target", "");
	o.config = expand_env_get(&b->build_args, CONFIG);
	if (build_context_find(b, "") && build_source_open(&here, "", &context, &ignored) == 0)
		o.ignore = context.copy.ignore;
	rc = check_dockerfile(b->arena, &b->source, &o, ds, ret);
	build_source_done(&context);
	return rc;
}

int build_check(struct build *b, const char *form)
{
	struct asker asker = { .b = b };
	struct check_report *report = NULL;
	AUTO_STR struct str text = {0};
	json_t *j;
	int rc = check(b, json_get_str(b->request, "target", ""), &asker, &b->diags, &report);
	if (rc < 0 && !report->n)
		return -1;
	j = json_object();
	json_put_str(j, "event", "check");
	check_render(report, &text);
	json_object_set_new(j, "text", json_text(str_get(&text)));
	if (strcmp(form, "json") == 0)
		json_object_set_new(j, "json", check_json(report));
	json_object_set_new(j, "failed", json_boolean(rc != 0));
	peers_tell(b->peers, j);
	return 0;
}

static void tell_finding(struct build *b, const struct check_finding *f)
{
	AUTO_FREE char *text = xasprintf("%s: %s", f->rule, f->message);
	json_t *j = json_pack("{s:s,s:i}", "event", "warning", "line", f->first_line);
	json_object_set_new(j, "text", json_text(text));
	peers_tell(b->peers, j);
}

int build_check_enforce(struct build *b, struct err *err)
{
	struct asker asker = { .b = b };
	struct check_report *report = NULL;
	struct diags own;
	AUTO_STRV struct strv rules = {0};
	AUTO_STR struct str names = {0};
	if (!expand_env_get(&b->build_args, CONFIG) && !memmem(b->source.text, b->source.len, "error", strlen("error")))
		return 0;
	diags_init(&own, b->arena);
	if (check(b, arena_printf(b->arena, "%zu", b->target), &asker, &own, &report) < 0 || !report->fatal)
		return 0;
	for (size_t i = 0; i < report->n; i++) {
		const struct check_finding *f = &report->v[i];
		if (asker.unknown && str_eq(f->rule, "UndefinedVar"))
			continue;
		tell_finding(b, f);
		if (strv_has(&rules, f->rule))
			continue;
		str_addf(&names, "%s%s", rules.n ? ", " : "", f->rule);
		strv_push(&rules, f->rule);
	}
	if (!rules.n)
		return 0;
	return err_set(err, ERR_INVALID, "lint violation found for rules: %s", str_get(&names));
}
