/* SPDX-License-Identifier: Apache-2.0 */
/* Typed instructions: each flag and form arrives in its field, variables are replaced where BuildKit replaces them and nowhere else, and every
 * mistake is told with its place, its line and a hint (the golden cases of tests/build/bad). */
#include <stdio.h>

#include "images/build/expand_scope.h"
#include "tests/unit/images_goldens.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int parse(struct arena *a, const char *text, struct diags *ds, struct instructions **ret)
{
	struct dockerfile *df;
	int r;
	diags_init(ds, a);
	*ret = NULL;
	r = dockerfile_parse(a, source_new(a, "Dockerfile", text, strlen(text)), ds, &df);
	if (instruction_parse(a, df, ds, ret) < 0 || r < 0)
		return -1;
	return 0;
}

/* Everything that a builder would do with the file but run it: the same calls in the same order. */
static void walk(struct arena *a, const struct instructions *all, const struct expand_env *build_args, struct diags *ds)
{
	struct expand_options opt = {
		.build_args = build_args, .build = { "linux", "amd64", "" }, .target = { "linux", "arm64", "v8" }, .target_stage = "",
	};
	struct expand_env global = { 0 };
	expand_scope_global(a, all, &opt, ds, &global);
	for (size_t i = 0; i < all->n_stages; i++) {
		const struct instruction_stage *s = &all->stages[i];
		struct expand_scope scope = { 0 };
		expand_env_add(&scope.env, "PATH=/bin");
		if (*s->base)
			expand_scope_from(a, s, s->base, &global, NULL, ds);
		if (*s->platform)
			expand_scope_from(a, s, s->platform, &global, NULL, ds);
		for (size_t k = 0; k < s->n; k++) {
			struct instruction *in;
			if (s->v[k]->kind == INSTRUCTION_ARG)
				expand_scope_arg(a, &scope, s->v[k], &global, build_args, NULL, ds, &in);
			else if (instruction_expand(a, s->v[k], &scope.env, NULL, ds, &in) == 0 && in->kind == INSTRUCTION_ENV)
				expand_scope_env(&scope, in);
		}
		expand_scope_done(&scope);
	}
	expand_env_done(&global);
}

static bool bad_case(struct golden *g, const char *path, bool update)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str got = { 0 };
	struct str *text = golden_part(g, "Dockerfile");
	struct diags ds;
	struct instructions *all;
	if (!text)
		return false;
	parse(a, str_get(text), &ds, &all);
	walk(a, all, NULL, &ds);
	diags_sort(&ds);
	diags_render(&ds, NULL, false, &got);
	EXPECT(ds.n_errors > 0, "%s is accepted", path);
	return golden_expect(g, path, "want", str_get(&got), update);
}

/* A stage of one instruction, expanded with a=1 e= set. */
static struct instruction *one(struct arena *a, const char *text)
{
	AUTO_FREE char *file = xasprintf("FROM x\n%s\n", text);
	struct expand_env env = { 0 };
	struct instructions *all;
	struct instruction *in = NULL;
	struct diags ds;
	AUTO_STR struct str errors = { 0 };
	expand_env_add(&env, "a=1");
	expand_env_add(&env, "e");
	expand_env_add(&env, "two=7 8");
	if (parse(a, file, &ds, &all) < 0 || all->stages[0].n != 1 || instruction_expand(a, all->stages[0].v[0], &env, NULL, &ds, &in) < 0)
		diags_render(&ds, NULL, false, &errors);
	EXPECT(!errors.len && in, "%s: %s", text, str_get(&errors));
	expand_env_done(&env);
	return in ? in : arena_alloc(a, sizeof(*in));
}

static const char *joined(struct arena *a, const struct instruction_list *l)
{
	const char *s = "";
	for (size_t i = 0; i < l->n; i++)
		s = arena_printf(a, "%s%s%s", s, i ? "|" : "", l->v[i]);
	EXPECT(l->n == 0 || !l->v[l->n], "lists end with NULL");
	return s;
}

#define EXPECT_TEXT(got, want) \
	do { const char *got_ = (got); EXPECT(str_eq(got_, want), "got <%s>, wanted <%s>", got_ ? got_ : "NULL", want); } while (0)

static void test_copy(struct arena *a)
{
	struct instruction *in = one(a, "COPY --from=b --chown=$a:$a --chmod=u=rw,g+x --link --parents=true --exclude=*.$a --exclude=y s$a t/ /d$a/");
	EXPECT(in->kind == INSTRUCTION_COPY, "kind");
	EXPECT_TEXT(joined(a, &in->copy.sources), "s1|t/");
	EXPECT_TEXT(in->copy.dest, "/d1/");
	EXPECT_TEXT(in->copy.from, "b");
	EXPECT_TEXT(in->copy.chown, "1:1");
	EXPECT_TEXT(in->copy.chmod, "u=rw,g+x");
	EXPECT_TEXT(joined(a, &in->copy.excludes), "*.$a|y");
	EXPECT(in->copy.link && in->copy.parents && in->copy.keep_git_dir == -1 && in->copy.unpack == -1, "flags");
	in = one(a, "ADD --keep-git-dir --unpack=FALSE --checksum=sha256:$a https://h/x [\"q\"]");
	EXPECT(in->kind == INSTRUCTION_ADD && in->copy.keep_git_dir == 1 && in->copy.unpack == 0, "ADD's flags");
	EXPECT_TEXT(in->copy.checksum, "sha256:1");
	EXPECT_TEXT(in->copy.dest, "[q]");
	in = one(a, "COPY [\"a b\", \"$a\", \"/c d/\"]");
	EXPECT_TEXT(joined(a, &in->copy.sources), "a b|1");
	in = one(a, "COPY <<x <<-\"y\" f /z\n\"$a\" \\$a ${e:-k}\nx\n\t$a\ny");
	EXPECT_TEXT(joined(a, &in->copy.sources), "f");
	EXPECT(in->copy.n_contents == 2, "%zu here-documents", in->copy.n_contents);
	if (in->copy.n_contents == 2) {
		EXPECT_TEXT(in->copy.contents[0].name, "x");
		EXPECT_TEXT(in->copy.contents[0].data, "\"1\" $a k\n");
		EXPECT_TEXT(in->copy.contents[1].data, "$a\n");
	}
}

static void test_run(struct arena *a)
{
	struct instruction *in = one(a, "RUN --mount=type=cache,target=/c$a,id=k,sharing=locked,uid=5,gid=6,mode=0770 --mount=source=s,dst=/t,rw "
					"--mount=type=secret,id=x,env=TOKEN,required --mount=type=tmpfs,target=/u,size=2m --mount=type=ssh "
					"--network=none --security=insecure --device=v/c=d,required echo $a");
	const struct instruction_command *c = &in->command;
	EXPECT(c->n_mounts == 5 && c->n_devices == 1, "%zu mounts, %zu devices", c->n_mounts, c->n_devices);
	if (c->n_mounts != 5)
		return;
	EXPECT_TEXT(joined(a, &c->args), "echo $a");
	EXPECT(c->shell && c->network == NETWORK_NONE && c->insecure, "flags");
	EXPECT(c->mounts[0].type == MOUNT_CACHE && c->mounts[0].sharing == SHARING_LOCKED && !c->mounts[0].read_only, "cache");
	EXPECT(c->mounts[0].uid == 5 && c->mounts[0].gid == 6 && c->mounts[0].mode == 0770, "ownership of a cache");
	EXPECT_TEXT(c->mounts[0].target, "/c1");
	EXPECT(c->mounts[1].type == MOUNT_BIND && !c->mounts[1].read_only && c->mounts[1].mode == -1, "bind, rw");
	EXPECT(c->mounts[2].type == MOUNT_SECRET && c->mounts[2].required && c->mounts[2].read_only, "secret");
	EXPECT_TEXT(c->mounts[2].env, "TOKEN");
	EXPECT(c->mounts[3].type == MOUNT_TMPFS && c->mounts[3].size_bytes == 2 << 20, "tmpfs");
	EXPECT(c->mounts[4].type == MOUNT_SSH, "ssh");
	EXPECT_TEXT(c->devices[0].name, "v/c=d");
	in = one(a, "RUN --mount=\"type=bind,\\\"target=/a,b\\\",ro=false\" [\"x\", \"$a\"]");
	EXPECT_TEXT(in->command.mounts[0].target, "/a,b");
	EXPECT(!in->command.mounts[0].read_only && !in->command.shell, "quoted field, JSON form");
	EXPECT_TEXT(joined(a, &in->command.args), "x|$a");
}

static void expect_script(struct arena *a, const char *text, bool shell, const char *args, const char *file)
{
	struct instruction_script s;
	struct instruction *in = one(a, text);
	instruction_script(a, &in->command, &s);
	EXPECT(s.shell == shell, "%s: shell", text);
	EXPECT_TEXT(joined(a, &s.args), args);
	EXPECT(str_eq(s.file_data, file), "%s: file <%s>", text, s.file_data ? s.file_data : "NULL");
}

static void test_scripts(struct arena *a)
{
	expect_script(a, "RUN a b", true, "a b", NULL);
	expect_script(a, "RUN <<E\nx $a\ny\nE", true, "x $a\ny\n", NULL);
	expect_script(a, "RUN <<-E\n\tx\n\tE", true, "x\n", NULL);
	expect_script(a, "RUN <<E\n#!/bin/cat\nx\nE", true, "/dev/pipes/E", "#!/bin/cat\nx\n");
	expect_script(a, "RUN cat <<E - <<F\nx\nE\ny\nF", true, "cat <<E - <<F\nx\nE\ny\nF", NULL);
	expect_script(a, "RUN [\"<<E\"]", false, "<<E", NULL);
}

static void test_others(struct arena *a)
{
	struct instruction *in = one(a, "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0 --start-interval=2s --retries=3 CMD x || $a");
	EXPECT_TEXT(joined(a, &in->health.test), "CMD-SHELL|x || $a");
	EXPECT(in->health.interval_ns == 90000000000 && in->health.timeout_ns == 500000000 && in->health.start_period_ns == 0, "durations");
	EXPECT(in->health.start_interval_ns == 2000000000 && in->health.retries == 3, "start interval, retries");
	in = one(a, "healthcheck cmd [\"a\",\"b\"]");
	EXPECT_TEXT(joined(a, &in->health.test), "CMD|a|b");
	in = one(a, "HEALTHCHECK --interval=5s NONE");
	EXPECT_TEXT(joined(a, &in->health.test), "NONE");
	in = one(a, "EXPOSE 81 80/UDP ${two}-9 3-4/sctp 127.0.0.1:5:6 [::1]:8:8 65535");
	EXPECT_TEXT(joined(a, &in->list), "7/tcp|8/tcp|9/tcp|6/tcp|3/sctp|4/sctp|65535/tcp|80/udp|81/tcp|8/tcp");
	in = one(a, "VOLUME /a$a \"/b\"");
	EXPECT_TEXT(joined(a, &in->list), "/a1|/b");
	in = one(a, "ENV \"x y\"=$a b='$a' c=\"$two\" d=${none:-e\\ f}");
	EXPECT(in->pairs.n == 4, "%zu pairs", in->pairs.n);
	EXPECT_TEXT(in->pairs.v[0].name, "x y");
	EXPECT_TEXT(in->pairs.v[1].value, "$a");
	EXPECT_TEXT(in->pairs.v[2].value, "7 8");
	EXPECT_TEXT(in->pairs.v[3].value, "e f");
	in = one(a, "ENV a  b  \"c\" $a ");
	EXPECT(in->pairs.v[0].old_form, "the old form");
	EXPECT_TEXT(in->pairs.v[0].value, "b  c 1");
	in = one(a, "WORKDIR /x y/$a");
	EXPECT_TEXT(in->text, "/x y/1");
	in = one(a, "USER ${none:-u}:$a");
	EXPECT_TEXT(in->text, "u:1");
	in = one(a, "STOPSIGNAL ${none:-rtmin+3}");
	EXPECT_TEXT(in->text, "rtmin+3");
	in = one(a, "SHELL [\"/bin/$a\", \"-c\"]");
	EXPECT_TEXT(joined(a, &in->list), "/bin/$a|-c");
	in = one(a, "MAINTAINER me $a");
	EXPECT_TEXT(in->text, "me $a");
	in = one(a, "CMD echo $a");
	EXPECT_TEXT(joined(a, &in->command.args), "echo $a");
	in = one(a, "ENTRYPOINT []");
	EXPECT(!in->command.args.n && !in->command.shell, "an empty ENTRYPOINT");
	in = one(a, "onbuild   RUN --mount=type=tmpfs,target=/x cat <<E\ny\nE");
	EXPECT_TEXT(in->text, "RUN --mount=type=tmpfs,target=/x cat <<E\ny\nE");
}

static void test_trigger(struct arena *a)
{
	struct diags ds;
	struct instruction *in = NULL;
	diags_init(&ds, a);
	EXPECT(instruction_parse_trigger(a, "ONBUILD of x", "RUN cat <<E\ny\nE", &ds, &in) == 0 && in->command.n_files == 1, "a trigger comes back");
	EXPECT(instruction_parse_trigger(a, "ONBUILD of x", "RUN a\nRUN b", &ds, &in) < 0, "two are none");
	EXPECT(instruction_parse_trigger(a, "ONBUILD of x", "FROM a", &ds, &in) < 0, "a stage is none");
}

static void test_stages(struct arena *a)
{
	struct diags ds;
	struct instructions *all;
	static const char text[] = "ARG v=1\n# b the stage\nFROM --platform=$TARGETPLATFORM x:$v AS B\n# n a name\nARG n=2 m\nFROM b\nRUN y\n";
	EXPECT(parse(a, text, &ds, &all) == 0 && all->n_stages == 2 && all->n_meta_args == 1, "%zu stages", all->n_stages);
	EXPECT_TEXT(all->stages[0].name, "b");
	EXPECT_TEXT(all->stages[0].doc, "the stage");
	EXPECT_TEXT(all->stages[0].platform, "$TARGETPLATFORM");
	EXPECT_TEXT(all->stages[0].base, "x:$v");
	EXPECT(all->stages[0].n == 1 && all->stages[1].n == 1 && all->stages[1].v[0]->pos.line == 7, "instructions of stages");
	EXPECT_TEXT(all->stages[0].v[0]->pairs.v[0].doc, "a name");
	EXPECT(!all->stages[0].v[0]->pairs.v[1].value, "an ARG without a value");
}

static void test_scopes(struct arena *a)
{
	static const char text[] = "ARG v=1\nARG w=${v}x g\nFROM x$w\nARG v w=5 none TARGETARCH z=$w$out\nENV out=$w\nARG q=$out\n";
	struct expand_env build_args = { 0 }, global = { 0 };
	struct expand_scope scope = { 0 }, copy = { 0 };
	struct expand_names used = { 0 };
	struct expand_options opt = { .build_args = &build_args, .build = { "linux", "amd64", "" }, .target = { "linux", "arm", "v7" } };
	AUTO_STRV struct strv run = { 0 }, hidden = { 0 };
	struct diags ds;
	struct instructions *all;
	struct instruction *in;
	EXPECT(parse(a, text, &ds, &all) == 0, "parses");
	expand_env_add(&build_args, "v=2");
	expand_env_add(&build_args, "http_proxy=p");
	expand_env_add(&build_args, "TARGETOS=plan9");
	EXPECT(expand_scope_global(a, all, &opt, &ds, &global) == 0, "global scope");
	EXPECT_TEXT(expand_env_get(&global, "w"), "2x");
	EXPECT_TEXT(expand_env_get(&global, "TARGETPLATFORM"), "linux/arm/v7");
	EXPECT_TEXT(expand_env_get(&global, "TARGETOS"), "plan9");
	EXPECT_TEXT(expand_env_get(&global, "TARGETSTAGE"), "default");
	EXPECT(!expand_env_get(&global, "g") && !expand_env_get(&global, "http_proxy"), "no value, no variable");
	EXPECT_TEXT(expand_scope_from(a, &all->stages[0], all->stages[0].base, &global, NULL, &ds), "x2x");
	expand_env_add(&scope.env, "PATH=/bin");
	EXPECT(expand_scope_arg(a, &scope, all->stages[0].v[0], &global, &build_args, &used, &ds, &in) == 0, "ARG");
	EXPECT(!in->pairs.v[2].value && scope.declared.n == 5, "declared without a value");
	EXPECT_TEXT(in->pairs.v[4].value, "5");
	EXPECT(used.set.n == 1 && str_eq(used.set.v[0], "w") && used.unset.n == 1, "names that defaults used");
	EXPECT(instruction_expand(a, all->stages[0].v[1], &scope.env, NULL, &ds, &in) == 0, "ENV");
	expand_scope_env(&scope, in);
	expand_scope_copy(&copy, &scope);
	EXPECT(expand_scope_arg(a, &copy, all->stages[0].v[2], &global, &build_args, NULL, &ds, &in) == 0, "ARG");
	EXPECT_TEXT(expand_env_get(&copy.env, "q"), "5");
	EXPECT(!expand_env_get(&scope.env, "q"), "a copied scope is one of its own");
	expand_scope_run_env(&copy, &build_args, &run, &hidden);
	EXPECT(run.n == 7 && str_eq(run.v[0], "PATH=/bin") && str_eq(run.v[1], "v=2") && str_eq(run.v[6], "q=5"), "environment of RUN: %zu", run.n);
	EXPECT(hidden.n == 2 && strv_has(&hidden, "http_proxy=p") && strv_has(&hidden, "HTTP_PROXY=p"), "an undeclared proxy is kept apart, in both spellings");
	expand_names_done(&used);
	expand_scope_done(&scope);
	expand_scope_done(&copy);
	expand_env_done(&global);
	expand_env_done(&build_args);
}

int main(int argc, char **argv)
{
	AUTO_ARENA struct arena *a = arena_new();
	bool update = argc > 1 && str_eq(argv[1], "update");
	int n;
	test_copy(a);
	test_run(a);
	test_scripts(a);
	test_others(a);
	test_trigger(a);
	test_stages(a);
	test_scopes(a);
	n = golden_each("tests/build/bad", bad_case, update, &failures);
	EXPECT(n >= 40, "%d golden cases", n);
	printf("%d golden cases\n", n);
	return failures != 0;
}
