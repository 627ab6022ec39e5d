/* SPDX-License-Identifier: Apache-2.0 */
/* image build: one image from a Dockerfile, without a compose file; options and their meaning are docker build's. The context is a directory;
 * "-" is a tar archive on standard input (plain or compressed), or a Dockerfile when what comes is none. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/build_request.h"
#include "compose/builds.h"
#include "compose/pulls.h"
#include "spec/bytes.h"
#include "spec/imageref.h"

enum { COPY_BYTES = 1 << 16, MAX_DOCKERFILE = 16 << 20 };

/* Standard input in an unnamed file of the state root: what it is can be told only by reading it. */
static int spool_stdin(const struct app *app, struct err *err)
{
	AUTO_CLOSE int fd = openat(app->paths.root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	AUTO_FREE char *buf = xcalloc(1, COPY_BYTES);
	ssize_t n;
	if (fd < 0)
		return err_sys(err, errno, "keep standard input");
	while ((n = read(0, buf, COPY_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read standard input");
		if (fs_write_all(fd, buf, (size_t)n, err) < 0)
			return -1;
	}
	return lseek(fd, 0, SEEK_SET) < 0 ? err_sys(err, errno, "keep standard input") : TAKE_FD(fd);
}

static int text_of(struct build_spec *s, int fd, struct err *err)
{
	AUTO_STR struct str text = {0};
	if (fs_read_fd(fd, MAX_DOCKERFILE, &text, err) < 0)
		return err_wrap(err, "Dockerfile from standard input");
	return build_request_text(s, "Dockerfile", str_get(&text), text.len, err);
}

static int context_and_file(struct app *app, struct build_spec *s, struct err *err)
{
	const char *context = app->args->args.v[0], *file = cli_str(app->args, "file");
	AUTO_FREE char *cwd = getcwd(NULL, 0);
	AUTO_FREE char *path = NULL;
	if (strcmp(context, "-") == 0 && strcmp(file, "-") == 0)
		return err_set(err, ERR_INVALID, "standard input cannot be both the context and the Dockerfile");
	if (strcmp(context, "-") == 0) {
		int fd = spool_stdin(app, err);
		return fd < 0 ? -1 : build_request_stream(s, fd, file, err);
	}
	if (build_request_is_download(context)) {
		if (build_request_url(s, app->paths.root_fd, context, strcmp(file, "-") == 0 ? NULL : file, err) < 0)
			return -1;
		return strcmp(file, "-") == 0 ? text_of(s, 0, err) : 0;
	}
	if (build_request_context(s, "", context, err) < 0)
		return -1;
	if (strcmp(file, "-") == 0)
		return text_of(s, 0, err);
	if (build_request_is_git(context)) {
		build_request_dockerfile_inside(s, file);
		return 0;
	}
	if (!*file)
		return build_request_dockerfile(s, context, NULL, err);
	path = file[0] == '/' ? xstrdup(file) : xasprintf("%s/%s", cwd ? cwd : ".", file); /* -f is relative to where we are */
	if (build_request_dockerfile(s, "", path, err) < 0)
		return -1;
	free(s->dockerfile);
	s->dockerfile = xstrdup(file);
	json_object_set_new(json_object_get(s->request, "dockerfile"), "name", json_text(file));
	return 0;
}

/* "type=file,id=ID,src=PATH", "id=ID,env=NAME" */
static int add_secret(struct build_spec *s, const char *entry, struct err *err)
{
	AUTO_STRV struct strv values = {0};
	const char *id = NULL, *path = NULL, *env = NULL, *type = "";
	char quoted[200];
	err_quote(quoted, sizeof(quoted), entry);
	for (const char *at = entry; *at;) {
		size_t n = strcspn(at, ",");
		strv_pushf(&values, "%.*s", (int)n, at);
		at += n + (at[n] == ',');
	}
	for (size_t i = 0; i < values.n; i++) {
		char *key = values.v[i], *eq = strchr(key, '=');
		const char **to = NULL;
		if (eq)
			*eq = '\0';
		to = strcmp(key, "id") == 0 ? &id : strcmp(key, "src") == 0 || strcmp(key, "source") == 0 ? &path : strcmp(key, "env") == 0 ? &env :
		     strcmp(key, "type") == 0 ? &type : NULL;
		if (!eq || !to)
			return err_set(err, ERR_INVALID, "--secret \"%s\": wants id=ID,src=PATH or id=ID,env=NAME", quoted);
		*to = eq + 1;
	}
	if (!id || !*id || (*type && strcmp(type, "file") != 0 && strcmp(type, "env") != 0))
		return err_set(err, ERR_INVALID, "--secret \"%s\": wants id=ID,src=PATH or id=ID,env=NAME", quoted);
	if (strcmp(type, "env") == 0 && path && !env) {
		env = path;
		path = NULL;
	}
	return build_request_secret(s, id, path, env, err);
}

/* "name=soft[:hard]" */
static int add_ulimit(struct build_spec *s, const char *entry, struct err *err)
{
	json_t *run = build_request_options(s), *all = json_object_get(run, "ulimits");
	long long soft, hard;
	char name[32], quoted[100];
	int n = sscanf(entry, "%31[a-z]=%lld:%lld", name, &soft, &hard);
	if (n < 2)
		return err_set(err, ERR_INVALID, "--ulimit \"%s\": wants NAME=SOFT[:HARD]", err_quote(quoted, sizeof(quoted), entry));
	if (!all)
		json_object_set_new(run, "ulimits", all = json_object());
	json_object_set_new(all, name, json_pack("{s:I,s:I}", "soft", (json_int_t)soft, "hard", (json_int_t)(n == 3 ? hard : soft)));
	return 0;
}

static int add_label(struct build_spec *s, const char *entry, struct err *err)
{
	json_t *labels = json_object_get(s->request, "labels");
	const char *eq = strchr(entry, '=');
	AUTO_FREE char *key = xstrndup(entry, eq ? (size_t)(eq - entry) : strlen(entry));
	(void)err;
	if (!labels)
		json_object_set_new(s->request, "labels", labels = json_object());
	json_object_set_new(labels, key, json_text(eq ? eq + 1 : ""));
	return 0;
}

static int add_named_context(struct build_spec *s, const char *entry, struct err *err)
{
	const char *eq = strchr(entry, '=');
	AUTO_FREE char *name = eq ? xstrndup(entry, (size_t)(eq - entry)) : NULL;
	char quoted[100];
	if (!eq || eq == entry)
		return err_set(err, ERR_INVALID, "--build-context \"%s\": wants NAME=VALUE", err_quote(quoted, sizeof(quoted), entry));
	if (str_starts(eq + 1, "service:"))
		return err_set(err, ERR_INVALID, "--build-context \"%s\": there are no services here", err_quote(quoted, sizeof(quoted), entry));
	return build_request_context(s, name, eq + 1, err);
}

static int add_arg(struct build_spec *s, const char *entry, struct err *err)
{
	(void)err;
	build_request_arg(s, entry);
	return 0;
}

static int add_cache_from(struct build_spec *s, const char *entry, struct err *err)
{
	return build_request_cache(s, entry, false, err);
}

static int add_cache_to(struct build_spec *s, const char *entry, struct err *err)
{
	return build_request_cache(s, entry, true, err);
}

static int add_tag(struct build_spec *s, const char *entry, struct err *err)
{
	json_t *all = json_object_get(s->request, "tags");
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref;
	if (imageref_parse(entry, a, &ref, err) < 0)
		return -1;
	if (ref.digest)
		return err_set(err, ERR_INVALID, "a digest is no name that can be given");
	if (!all)
		json_object_set_new(s->request, "tags", all = json_array());
	json_array_append_new(all, json_text(entry));
	return 0;
}

static int add_no_cache_filter(struct build_spec *s, const char *entry, struct err *err)
{
	json_t *all = json_object_get(s->request, "no_cache_filter");
	(void)err;
	if (!all)
		json_object_set_new(s->request, "no_cache_filter", all = json_array());
	while (*entry) {
		size_t n = strcspn(entry, ",");
		AUTO_FREE char *stage = xstrndup(entry, n);
		if (*stage)
			json_array_append_new(all, json_text(stage));
		entry += n + (entry[n] == ',');
	}
	return 0;
}

static int add_size(const struct app *app, struct build_spec *s, const char *option, const char *key, struct err *err)
{
	const char *text = cli_str(app->args, option);
	int64_t bytes;
	if (!*text)
		return 0;
	if (!bytes_parse(text, &bytes) || bytes < 0)
		return err_set(err, ERR_INVALID, "--%s: \"%.40s\" is not a size", option, text);
	json_put_int(build_request_options(s), key, bytes);
	return 0;
}

int build_request_command(struct app *app, struct build_spec *s, struct err *err)
{
	static const struct {
		const char *option;
		int (*fn)(struct build_spec *, const char *, struct err *);
	} lists[] = {
		{ "tag", add_tag }, { "build-arg", add_arg }, { "label", add_label }, { "secret", add_secret }, { "ssh", build_request_ssh },
		{ "add-host", build_request_host }, { "ulimit", add_ulimit }, { "cache-from", add_cache_from }, { "cache-to", add_cache_to },
		{ "build-context", add_named_context }, { "no-cache-filter", add_no_cache_filter }, { "allow", build_request_entitlement },
	};
	const struct cli_args *a = app->args;
	build_spec_init(s);
	s->name = xstrdup("");
	json_object_set_new(s->request, "op", json_string("build"));
	json_object_set_new(s->request, "export", json_pack("{s:s}", "kind", "store"));
	json_object_set_new(s->request, "target", json_text(cli_str(a, "target")));
	json_object_set_new(s->request, "no_cache", json_boolean(cli_bool(a, "no-cache")));
	json_object_set_new(s->request, "pull", json_boolean(cli_bool(a, "pull")));
	if (cli_bool(a, "check"))
		json_put_str(s->request, "check", "text");
	if (context_and_file(app, s, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t k = 0; k < cli_list(a, lists[i].option)->n; k++)
			if (lists[i].fn(s, cli_list(a, lists[i].option)->v[k], err) < 0)
				return err_wrap(err, "--%s", lists[i].option);
	if (*cli_str(a, "platform") && build_request_platform(s, cli_str(a, "platform"), err) < 0)
		return err_wrap(err, "--platform");
	if (build_request_network(s, cli_str(a, "network"), err) < 0)
		return err_wrap(err, "--network");
	return add_size(app, s, "shm-size", "shm_size", err) < 0 || add_size(app, s, "memory", "memory_bytes", err) < 0 ? -1 : 0;
}

static int finish(struct app *app, const struct build_spec *s, bool quiet)
{
	const char *iidfile = cli_str(app->args, "iidfile");
	AUTO_FREE char *id = xasprintf("sha256:%s", s->id);
	AUTO_STR struct str line = {0};
	struct pulls list = {0};
	struct err err;
	if (!*s->id)
		return 0;
	if (*iidfile && fs_write_volatile(AT_FDCWD, iidfile, id, strlen(id), 0644, &err) < 0)
		return err_wrap(&err, "--iidfile"), cmd_fail(app, &err);
	str_addf(&line, "%s\n", id);
	if (quiet && cmd_print(app, &line))
		return 1;
	for (size_t i = 0; cli_bool(app->args, "push") && i < cli_list(app->args, "tag")->n; i++)
		pulls_add_push(app, &list, cli_list(app->args, "tag")->v[i], "gzip", NULL);
	return list.n && pulls_run(app, &list, quiet, false) ? 1 : 0;
}

int cmd_image_build(struct app *app)
{
	bool quiet = cli_bool(app->args, "quiet");
	enum build_progress_mode mode;
	struct build_spec spec;
	struct err err;
	int rc;
	if (builds_mode(app, quiet, &mode) || cmd_paths(app, true))
		return 1;
	rc = build_request_command(app, &spec, &err) < 0 ? cmd_fail(app, &err) : builds_all(app, &spec, 1, mode);
	if (rc == 0)
		rc = finish(app, &spec, quiet);
	build_spec_done(&spec);
	return rc;
}
