/* SPDX-License-Identifier: Apache-2.0 */
/* A service's `build:` as the builder's request. Values are in their canonical form (the loader's output); what the command line gives comes
 * last and wins. The keys, in the order of the Compose Build Specification; spec/honoured.c holds the same list. */
#include <stdio.h>

#include "compose/build_request.h"
#include "spec/bytes.h"

struct making {
	struct app *app;
	struct project *p;
	const char *service;
	const json_t *config, *build;
	struct build_spec *spec;
};

/* Calls fn for each string of a list. */
static int each(const struct making *m, const char *key, int (*fn)(struct build_spec *, const char *, struct err *), struct err *err)
{
	const json_t *all = json_object_get(m->build, key);
	size_t i;
	json_t *v;
	json_array_foreach(all, i, v)
		if (json_is_string(v) && fn(m->spec, json_string_value(v), err) < 0)
			return err_wrap(err, "%s[%zu]", key, i);
	return 0;
}

static int cache_from(struct build_spec *s, const char *entry, struct err *err)
{
	return build_request_cache(s, entry, false, err);
}

static int cache_to(struct build_spec *s, const char *entry, struct err *err)
{
	return build_request_cache(s, entry, true, err);
}

static int contexts(const struct making *m, struct err *err)
{
	const char *context = json_get_str(m->build, "context", "."), *text = json_get_str(m->build, "dockerfile_inline", NULL), *name;
	json_t *more = json_object_get(m->build, "additional_contexts"), *v;
	if (build_request_is_download(context) && !text) {
		if (build_request_url(m->spec, m->app->paths.root_fd, context, json_get_str(m->build, "dockerfile", NULL), err) < 0)
			return -1;
	} else if (build_request_context(m->spec, "", context, err) < 0) {
		return err_wrap(err, "context");
	} else if (build_request_is_git(context) && !text) {
		build_request_dockerfile_inside(m->spec, json_get_str(m->build, "dockerfile", NULL));
	} else if (text ? build_request_text(m->spec, "dockerfile_inline", text, strlen(text), err) < 0 :
		build_request_dockerfile(m->spec, context, json_get_str(m->build, "dockerfile", NULL), err) < 0)
		return -1;
	json_object_foreach(more, name, v)
		if (build_request_context(m->spec, name, json_is_string(v) ? json_string_value(v) : "", err) < 0)
			return err_wrap(err, "additional_contexts.%s", name);
	return 0;
}

static void put_args(const struct making *m)
{
	json_t *args = json_object_get(m->build, "args"), *v;
	const struct strv *given = cli_has(m->app->args, "build-arg") ? cli_list(m->app->args, "build-arg") : NULL;
	const char *name;
	json_object_foreach(args, name, v) {
		AUTO_FREE char *arg = json_is_string(v) ? xasprintf("%s=%s", name, json_string_value(v)) : xstrdup(name);
		build_request_arg(m->spec, arg);
	}
	for (size_t i = 0; given && i < given->n; i++)
		build_request_arg(m->spec, given->v[i]);
}

/* The file's, and those by which docker compose finds what it has built. */
static void put_labels(const struct making *m)
{
	json_t *labels = json_object(), *own = json_object_get(m->build, "labels");
	json_object_set_new(m->spec->request, "labels", labels);
	if (own)
		json_object_update(labels, own);
	json_object_set_new(labels, "com.docker.compose.project", json_text(m->p->load.name));
	json_object_set_new(labels, "com.docker.compose.service", json_text(m->service));
}

static int put_secrets(const struct making *m, struct err *err)
{
	const json_t *defined = json_object_get(m->p->load.config, "secrets");
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(m->build, "secrets"), i, v) {
		const char *source = json_get_str(v, "source", ""), *target = json_get_str(v, "target", "");
		const json_t *d = json_object_get(defined, source);
		const char *file = json_get_str(d, "file", NULL), *env = json_get_str(d, "environment", NULL);
		if (!file && !env)
			return err_set(err, ERR_UNSUPPORTED, "secrets[%zu]: secret \"%s\" has neither a file nor a variable", i, source);
		if (json_object_get(v, "uid") || json_object_get(v, "gid") || json_object_get(v, "mode"))
			cmd_warn(m->app, "services.%s.build.secrets[%zu]: uid, gid and mode of a build secret are what RUN --mount says", m->service, i);
		if (build_request_secret(m->spec, *target ? target : source, file, env, err) < 0)
			return err_wrap(err, "secrets[%zu]", i);
	}
	return 0;
}

static int put_sizes(const struct making *m, struct err *err)
{
	const json_t *shm = json_object_get(m->build, "shm_size"), *ulimits = json_object_get(m->build, "ulimits");
	const char *memory = cli_has(m->app->args, "memory") ? cli_str(m->app->args, "memory") : "", *name;
	json_t *run = build_request_options(m->spec), *v, *limits = ulimits ? json_object() : NULL;
	int64_t bytes = json_is_integer(shm) ? json_integer_value(shm) : 0;
	if (json_is_string(shm) && !bytes_parse(json_string_value(shm), &bytes))
		return err_set(err, ERR_INVALID, "shm_size: not a size");
	if (bytes > 0)
		json_put_int(run, "shm_size", bytes);
	if (limits)
		json_object_set_new(run, "ulimits", limits);
	json_object_foreach((json_t *)(uintptr_t)ulimits, name, v) {
		int64_t both = json_is_integer(v) ? json_integer_value(v) : 0;
		json_object_set_new(limits, name,
			json_pack("{s:I,s:I}", "soft", (json_int_t)json_get_int(v, "soft", both), "hard", (json_int_t)json_get_int(v, "hard", both)));
	}
	if (*memory && (!bytes_parse(memory, &bytes) || bytes < 0))
		return err_set(err, ERR_INVALID, "--memory: \"%.40s\" is not a size", memory);
	if (*memory)
		json_put_int(run, "memory_bytes", bytes);
	return 0;
}

/* `build` makes the image for all of `platforms`; what is built to be run, for one: the service's, $DOCKER_DEFAULT_PLATFORM, this machine's when it
 * is among them, else the first. */
static int put_platform(const struct making *m, struct err *err)
{
	const json_t *all = json_object_get(m->build, "platforms");
	const char *wanted = getenv("DOCKER_DEFAULT_PLATFORM"), *own = json_get_str(m->config, "platform", wanted && *wanted ? wanted : "");
	const bool every = strcmp(m->app->args->command->name, "build") == 0;
	json_t *v;
	size_t i;
	if (*own && build_request_platform(m->spec, own, err) < 0)
		return err_wrap(err, "platform");
	if (*own && !every)
		return 0;
	json_array_foreach(all, i, v)
		if (json_is_string(v) && build_request_platform(m->spec, json_string_value(v), err) < 0)
			return err_wrap(err, "platforms[%zu]", i);
	if (!every)
		build_request_one_platform(m->spec);
	return 0;
}

static int put_flags(const struct making *m, struct err *err)
{
	static const char *const off[] = { "provenance", "sbom" };
	const struct cli_args *a = m->app->args;
	json_t *request = m->spec->request, *filter = json_object_get(m->build, "no_cache_filter");
	const char *isolation = json_get_str(m->build, "isolation", "");
	json_object_set_new(request, "no_cache",
		json_boolean(json_get_bool(m->build, "no_cache", false) || (cli_has(a, "no-cache") && cli_bool(a, "no-cache"))));
	json_object_set_new(request, "pull",
		json_boolean(json_get_bool(m->build, "pull", false) || (strcmp(a->command->name, "build") == 0 && cli_bool(a, "pull"))));
	if (filter)
		json_object_set(request, "no_cache_filter", filter);
	json_object_set_new(request, "target", json_text(json_get_str(m->build, "target", "")));
	if (json_get_bool(m->build, "privileged", false))
		m->spec->insecure = true;
	if (*isolation && strcmp(isolation, "default") != 0)
		return err_set(err, ERR_UNSUPPORTED, "isolation: only \"default\" exists on Linux");
	for (size_t i = 0; i < ARRAY_SIZE(off); i++) {
		const char *v = json_get_str(m->build, off[i], "false");
		if (strcmp(v, "false") != 0 && *v)
			return err_set(err, ERR_UNSUPPORTED, "%s: attestations are not supported", off[i]);
	}
	return build_request_network(m->spec, json_get_str(m->build, "network", ""), err) < 0 ? err_wrap(err, "network") : 0;
}

static int put_all(const struct making *m, struct err *err)
{
	const json_t *tags = json_object_get(m->build, "tags");
	json_t *all = json_pack("[o]", json_text(project_image(m->app, m->p, m->service)));
	const char *ssh = cli_has(m->app->args, "ssh") ? cli_str(m->app->args, "ssh") : "";
	if (tags)
		json_array_extend(all, (json_t *)(uintptr_t)tags);
	json_object_set_new(m->spec->request, "op", json_string("build"));
	json_object_set_new(m->spec->request, "export", json_pack("{s:s}", "kind", "store"));
	json_object_set_new(m->spec->request, "tags", all);
	put_args(m);
	put_labels(m);
	if (contexts(m, err) < 0 || put_secrets(m, err) < 0 || put_sizes(m, err) < 0 || put_platform(m, err) < 0 || put_flags(m, err) < 0 ||
		each(m, "ssh", build_request_ssh, err) < 0 || each(m, "cache_from", cache_from, err) < 0 || each(m, "cache_to", cache_to, err) < 0 ||
		each(m, "entitlements", build_request_entitlement, err) < 0 || each(m, "extra_hosts", build_request_host, err) < 0)
		return -1;
	return *ssh && build_request_ssh(m->spec, ssh, err) < 0 ? err_wrap(err, "--ssh") : 0;
}

int build_request_service(struct app *app, struct project *p, const char *service, struct build_spec *ret, struct err *err)
{
	const json_t *config = load_service(&p->load, service);
	struct making m = { app, p, service, config, json_object_get(config, "build"), ret };
	build_spec_init(ret);
	ret->name = xstrdup(service);
	if (put_all(&m, err) < 0)
		return err_wrap(err, "services.%s.build", service);
	return 0;
}
