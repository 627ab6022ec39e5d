/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes become typed instructions: a table has, for each keyword, how many words it takes and what is made of them. Whatever is wrong is told with
 * its place and the next instruction is looked at. What may hold a variable is checked when it is expanded; what holds none is checked here, so
 * that a mistake in the last stage is told before the first one has run. */
#include "images/build/instruction.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "images/build/instruction_impl.h"
#include "spec/duration.h"

struct diag *instruction_error(const struct instruction_maker *m, struct pos pos, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return diag_error(m->ds, pos, "", "%s", text);
}

static struct pos keyword_pos(const struct instruction_maker *m)
{
	const struct dockerfile_node *n = m->node;
	const char *p = strstr(n->original, n->keyword);
	return dockerfile_pos(n, p ? (size_t)(p - n->original) : 0);
}

static struct pos word_pos(const struct instruction_maker *m, size_t i)
{
	return i < m->node->n_words ? dockerfile_pos(m->node, m->node->words[i].at) : keyword_pos(m);
}

static const char *word(const struct instruction_maker *m, size_t i)
{
	return m->node->words[i].text;
}

static int no_flags(const struct instruction_maker *m)
{
	return instruction_read_flags(m, NULL, 0);
}

/* The comment `# NAME text` above. */
static const char *doc_comment(const struct dockerfile_node *n, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; len && i < n->n_comments; i++) {
		if (strncmp(n->comments[i], name, len) == 0 && n->comments[i][len] == ' ')
			return n->comments[i] + len + 1;
	}
	return "";
}

static struct instruction_list words_from(const struct instruction_maker *m, size_t first, size_t end)
{
	struct instruction_list l = { 0 };
	size_t cap = 0;
	l.v = arena_grow(m->arena, NULL, 0, &cap, sizeof(*l.v));
	l.v[0] = NULL;
	for (size_t i = first; i < end; i++)
		instruction_list_add(m->arena, &l, &cap, word(m, i));
	return l;
}

static int make_pairs(const struct instruction_maker *m, struct instruction *in)
{
	size_t n = m->node->n_words / 3;
	int r = no_flags(m);
	in->pairs.v = arena_alloc(m->arena, (n + 1) * sizeof(*in->pairs.v));
	in->pairs.n = n;
	for (size_t i = 0; i < n; i++) {
		in->pairs.v[i] = (struct instruction_pair){
			.name = word(m, 3 * i), .value = word(m, 3 * i + 1), .old_form = !*word(m, 3 * i + 2), .doc = "", .pos = word_pos(m, 3 * i),
		};
		if (!*in->pairs.v[i].name) {
			instruction_error(m, word_pos(m, 3 * i), "%s: a name can't be empty", m->name);
			r = -1;
		}
	}
	return r;
}

static int make_arg(const struct instruction_maker *m, struct instruction *in)
{
	size_t n = m->node->n_words;
	int r = no_flags(m);
	in->pairs.v = arena_alloc(m->arena, (n + 1) * sizeof(*in->pairs.v));
	in->pairs.n = n;
	for (size_t i = 0; i < n; i++) {
		const char *text = word(m, i), *equals = strchr(text, '=');
		const char *name = arena_strndup(m->arena, text, equals ? (size_t)(equals - text) : strlen(text));
		in->pairs.v[i] = (struct instruction_pair){
			.name = name, .value = equals ? equals + 1 : NULL, .doc = doc_comment(m->node, name), .pos = word_pos(m, i),
		};
		if (!*name) {
			instruction_error(m, word_pos(m, i), "ARG: a name can't be empty");
			r = -1;
		}
	}
	return r;
}

/* Sources, here-documents and destination. */
static int make_sources(const struct instruction_maker *m, struct instruction_copy *c)
{
	const struct dockerfile_node *n = m->node;
	struct dockerfile_heredoc h;
	size_t cap = 0, cap_contents = 0, last;
	c->sources = words_from(m, 0, 0);
	if (n->n_words < 2) {
		struct diag *d = instruction_error(m, word_pos(m, 0), "%s needs at least two arguments: %s", m->name,
						   n->n_words ? "the destination is missing" : "source and destination");
		diag_hint(m->ds, d, "%s SOURCE... DESTINATION", m->name);
		return -1;
	}
	last = n->n_words - 1;
	c->dest = word(m, last);
	if (dockerfile_is_heredoc(m->arena, c->dest, &h)) {
		instruction_error(m, word_pos(m, last), "a here-document can't be the destination of %s", m->name);
		return -1;
	}
	for (size_t i = 0; i < last; i++) {
		const char *content = "";
		if (!dockerfile_is_heredoc(m->arena, word(m, i), &h)) {
			instruction_list_add(m->arena, &c->sources, &cap, word(m, i));
			continue;
		}
		for (size_t k = 0; k < n->n_heredocs; k++) {
			if (str_eq(n->heredocs[k].name, h.name))
				content = n->heredocs[k].content;
		}
		c->contents = arena_grow(m->arena, c->contents, c->n_contents, &cap_contents, sizeof(*c->contents));
		c->contents[c->n_contents++] = (struct instruction_content){
			.name = h.name, .data = h.chomp ? dockerfile_chomp(m->arena, content) : content, .expand = h.expand,
		};
	}
	return 0;
}

static int make_copy(const struct instruction_maker *m, struct instruction *in)
{
	struct instruction_copy *c = &in->copy;
	int link = 0, parents = 0, r;
	const struct instruction_flag copy[] = {
		{ "from", FLAG_TEXT, .text = &c->from }, { "chown", FLAG_TEXT, .text = &c->chown }, { "chmod", FLAG_TEXT, .text = &c->chmod },
		{ "link", FLAG_BOOL, .truth = &link }, { "parents", FLAG_BOOL, .truth = &parents }, { "exclude", FLAG_LIST, .list = &c->excludes },
	};
	const struct instruction_flag add[] = {
		{ "chown", FLAG_TEXT, .text = &c->chown }, { "chmod", FLAG_TEXT, .text = &c->chmod }, { "link", FLAG_BOOL, .truth = &link },
		{ "keep-git-dir", FLAG_BOOL, .truth = &c->keep_git_dir }, { "checksum", FLAG_TEXT, .text = &c->checksum },
		{ "unpack", FLAG_BOOL, .truth = &c->unpack }, { "exclude", FLAG_LIST, .list = &c->excludes },
	};
	*c = (struct instruction_copy){
		.dest = "", .from = "", .chown = "", .chmod = "", .checksum = "", .keep_git_dir = -1, .unpack = -1, .excludes = words_from(m, 0, 0),
	};
	if (in->kind == INSTRUCTION_COPY)
		r = instruction_read_flags(m, copy, ARRAY_SIZE(copy));
	else
		r = instruction_read_flags(m, add, ARRAY_SIZE(add));
	c->link = link;
	c->parents = parents;
	if (strchr(c->from, '$')) {
		diag_hint(m->ds, instruction_error(m, instruction_flag_pos(m, "from", 0), "--from takes no variables"),
			  "define a stage with FROM and an ARG before the first FROM, and name that");
		r = -1;
	}
	return make_sources(m, c) < 0 ? -1 : r;
}

/* Argument list and here-documents of RUN, CMD, ENTRYPOINT. */
static void make_args(const struct instruction_maker *m, struct instruction_command *c)
{
	const struct dockerfile_node *n = m->node;
	c->args = words_from(m, 0, n->n_words);
	c->shell = !n->json;
	c->files = arena_alloc(m->arena, (n->n_heredocs + 1) * sizeof(*c->files));
	c->n_files = n->n_heredocs;
	for (size_t i = 0; i < n->n_heredocs; i++)
		c->files[i] = (struct instruction_file){ n->heredocs[i].name, n->heredocs[i].content, n->heredocs[i].chomp };
}

static int make_command(const struct instruction_maker *m, struct instruction *in)
{
	make_args(m, &in->command);
	return no_flags(m);
}

static int choose(const struct instruction_maker *m, const char *flag, const char *value, const char *const *names, size_t n)
{
	const char *near = diag_nearest(value, names, n);
	struct diag *d;
	for (size_t i = 0; i < n; i++) {
		if (str_eq(value, names[i]))
			return (int)i;
	}
	d = instruction_error(m, instruction_flag_pos(m, flag, 0), "--%s can't be \"%s\"", flag, diag_quote(m->ds, value));
	if (near)
		diag_hint(m->ds, d, "did you mean %s?", near);
	else
		diag_hint(m->ds, d, n == 3 ? "it is %s, %s or %s" : "it is %s or %s", names[0], names[1], names[n - 1]);
	return -1;
}

static const char *const networks[] = { "default", "none", "host" };
static_assert(ARRAY_SIZE(networks) == NETWORK_N_, "a name for each network mode");

const char *instruction_network_name(enum instruction_network network)
{
	return networks[network];
}

static int make_run(const struct instruction_maker *m, struct instruction *in)
{
	static const char *const securities[] = { "sandbox", "insecure" };
	struct instruction_command *c = &in->command;
	struct instruction_list mounts = { 0 }, devices = { 0 };
	const char *network = "default", *security = "sandbox";
	const struct instruction_flag flags[] = {
		{ "mount", FLAG_LIST, .list = &mounts }, { "network", FLAG_TEXT, .text = &network }, { "security", FLAG_TEXT, .text = &security },
		{ "device", FLAG_LIST, .list = &devices },
	};
	int r = instruction_read_flags(m, flags, ARRAY_SIZE(flags)), mode;
	make_args(m, c);
	mode = choose(m, "network", network, networks, ARRAY_SIZE(networks));
	c->network = mode < 0 ? NETWORK_DEFAULT : (enum instruction_network)mode;
	r = mode < 0 ? -1 : r;
	mode = choose(m, "security", security, securities, ARRAY_SIZE(securities));
	c->insecure = mode == 1;
	r = mode < 0 ? -1 : r;
	if (m->node->json && !m->node->n_words) {
		instruction_error(m, keyword_pos(m), "RUN: an empty list is no command");
		r = -1;
	}
	c->mounts = arena_alloc(m->arena, (mounts.n + 1) * sizeof(*c->mounts));
	c->n_mounts = mounts.n;
	for (size_t i = 0; i < mounts.n; i++) {
		if (instruction_read_mount(m, mounts.v[i], instruction_flag_pos(m, "mount", i), NULL, NULL, &c->mounts[i]) < 0)
			r = -1;
	}
	c->devices = arena_alloc(m->arena, (devices.n + 1) * sizeof(*c->devices));
	c->n_devices = devices.n;
	for (size_t i = 0; i < devices.n; i++) {
		if (instruction_read_device(m, devices.v[i], instruction_flag_pos(m, "device", i), &c->devices[i]) < 0)
			r = -1;
	}
	return r;
}

static int health_duration(const struct instruction_maker *m, const char *flag, const char *text, int64_t *ret)
{
	const char *why = "";
	struct pos pos = instruction_flag_pos(m, flag, 0);
	*ret = 0;
	if (!*text)
		return 0;
	/* Go's durations end at hours */
	if (strpbrk(text, "dw") || !duration_parse(text, ret, &why)) {
		diag_hint(m->ds, instruction_error(m, pos, "--%s: \"%s\" is no duration", flag, diag_quote(m->ds, text)), "like 30s, 1m30s, 500ms");
		return -1;
	}
	if (*ret && *ret < 1000000) {
		instruction_error(m, pos, "--%s can't be less than 1ms", flag);
		return -1;
	}
	return 0;
}

static int health_flags(const struct instruction_maker *m, struct instruction_health *h)
{
	static const char *const names[] = { "interval", "timeout", "start-period", "start-interval" };
	const char *text[] = { "", "", "", "" }, *retries = "";
	int64_t *to[] = { &h->interval_ns, &h->timeout_ns, &h->start_period_ns, &h->start_interval_ns };
	struct instruction_flag flags[ARRAY_SIZE(names) + 1] = { [ARRAY_SIZE(names)] = { "retries", FLAG_TEXT, .text = &retries } };
	uint64_t n = 0;
	int r;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		flags[i] = (struct instruction_flag){ names[i], FLAG_TEXT, .text = &text[i] };
	r = instruction_read_flags(m, flags, ARRAY_SIZE(flags));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (health_duration(m, names[i], text[i], to[i]) < 0)
			r = -1;
	}
	if (*retries && !parse_u64(retries + (*retries == '+'), 0, INT32_MAX, &n)) {
		instruction_error(m, instruction_flag_pos(m, "retries", 0), "--retries: \"%s\" is no number from 0 on", diag_quote(m->ds, retries));
		r = -1;
	}
	h->retries = (int)n;
	return r;
}

static int make_health(const struct instruction_maker *m, struct instruction *in)
{
	struct instruction_health *h = &in->health;
	const struct dockerfile_node *n = m->node;
	size_t cap = 0;
	int r = health_flags(m, h);
	h->test = words_from(m, 0, 0);
	if (strcasecmp(word(m, 0), "NONE") == 0) {
		instruction_list_add(m->arena, &h->test, &cap, "NONE");
		if (n->n_words > 1) {
			instruction_error(m, word_pos(m, 1), "HEALTHCHECK NONE takes no arguments");
			return -1;
		}
		return r;
	}
	if (strcasecmp(word(m, 0), "CMD") != 0) {
		diag_hint(m->ds, instruction_error(m, word_pos(m, 0), "HEALTHCHECK is followed by CMD or NONE, not by \"%s\"", diag_quote(m->ds, word(m, 0))),
			  "HEALTHCHECK CMD %s", diag_quote(m->ds, n->rest));
		return -1;
	}
	if (n->n_words < 2) {
		instruction_error(m, word_pos(m, 0), "HEALTHCHECK CMD: the command is missing");
		return -1;
	}
	instruction_list_add(m->arena, &h->test, &cap, n->json ? "CMD" : "CMD-SHELL");
	for (size_t i = 1; i < n->n_words; i++)
		instruction_list_add(m->arena, &h->test, &cap, word(m, i));
	return r;
}

static int make_text(const struct instruction_maker *m, struct instruction *in)
{
	in->text = word(m, 0);
	return no_flags(m);
}

static int make_signal(const struct instruction_maker *m, struct instruction *in)
{
	in->text = word(m, 0);
	if (!strchr(in->text, '$') && !strpbrk(in->text, "\"'\\`") && !instruction_is_signal(in->text)) {
		instruction_error(m, word_pos(m, 0), "STOPSIGNAL: \"%s\" is no signal", diag_quote(m->ds, in->text));
		return -1;
	}
	return no_flags(m);
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int make_expose(const struct instruction_maker *m, struct instruction *in)
{
	int r = no_flags(m);
	in->list = words_from(m, 0, m->node->n_words);
	for (size_t i = 0; i < in->list.n; i++) {
		AUTO_STRV struct strv ports = { 0 };
		if (!strpbrk(in->list.v[i], "$\"'\\`") && instruction_expose(m, in->list.v[i], word_pos(m, i), &ports) < 0)
			r = -1;
	}
	qsort(in->list.v, in->list.n, sizeof(*in->list.v), compare_words);
	return r;
}

static int make_volume(const struct instruction_maker *m, struct instruction *in)
{
	int r = no_flags(m);
	in->list = words_from(m, 0, m->node->n_words);
	for (size_t i = 0; i < in->list.n; i++) {
		const char *p = in->list.v[i] + strspn(in->list.v[i], " \t\r\n\v\f");
		size_t n = strlen(p);
		while (n && strchr(" \t\r\n\v\f", p[n - 1]))
			n--;
		in->list.v[i] = arena_strndup(m->arena, p, n);
		if (!n) {
			instruction_error(m, word_pos(m, i), "VOLUME: a path can't be empty");
			r = -1;
		}
	}
	return r;
}

static int make_shell(const struct instruction_maker *m, struct instruction *in)
{
	in->list = words_from(m, 0, m->node->n_words);
	if (!m->node->json) {
		diag_hint(m->ds, instruction_error(m, word_pos(m, 0), "SHELL takes the JSON form only"), "SHELL [\"/bin/bash\", \"-c\"]");
		return -1;
	}
	return no_flags(m);
}

static struct instruction *make_instruction(struct arena *a, const struct dockerfile_node *n, struct diags *ds);

/* The trigger is kept as text; that it could be built is seen now rather than by whoever builds on the image. */
static int make_onbuild(const struct instruction_maker *m, struct instruction *in)
{
	const struct dockerfile_node *n = m->node, *t = n->trigger;
	AUTO_STR struct str text = { 0 };
	struct pos pos;
	int r = no_flags(m);
	if (!t) {
		instruction_error(m, keyword_pos(m), "ONBUILD needs an instruction behind it");
		return -1;
	}
	pos = dockerfile_pos(n, (size_t)(strstr(n->original, n->rest) ? strstr(n->original, n->rest) - n->original : 0));
	if (strcasecmp(t->keyword, "ONBUILD") == 0 || strcasecmp(t->keyword, "FROM") == 0 || strcasecmp(t->keyword, "MAINTAINER") == 0) {
		instruction_error(m, pos, "%s can't be triggered by ONBUILD", diag_quote(m->ds, t->keyword));
		return -1;
	}
	str_add(&text, n->rest);
	for (size_t i = 0; i < n->n_heredocs; i++)
		str_addf(&text, "\n%s%s", n->heredocs[i].content, n->heredocs[i].name);
	in->text = arena_strndup(m->arena, str_get(&text), text.len);
	n->trigger->heredocs = n->heredocs;
	n->trigger->n_heredocs = n->n_heredocs;
	return make_instruction(m->arena, t, m->ds) ? r : -1;
}

static const struct kind {
	const char *name;
	int (*fn)(const struct instruction_maker *m, struct instruction *in);
	size_t min_words;
} kinds[] = {
	[INSTRUCTION_ADD] = { "ADD", make_copy, 0 }, [INSTRUCTION_ARG] = { "ARG", make_arg, 1 }, [INSTRUCTION_CMD] = { "CMD", make_command, 0 },
	[INSTRUCTION_COPY] = { "COPY", make_copy, 0 }, [INSTRUCTION_ENTRYPOINT] = { "ENTRYPOINT", make_command, 0 },
	[INSTRUCTION_ENV] = { "ENV", make_pairs, 1 }, [INSTRUCTION_EXPOSE] = { "EXPOSE", make_expose, 1 }, [INSTRUCTION_FROM] = { "FROM", NULL, 0 },
	[INSTRUCTION_HEALTHCHECK] = { "HEALTHCHECK", make_health, 1 }, [INSTRUCTION_LABEL] = { "LABEL", make_pairs, 1 },
	[INSTRUCTION_MAINTAINER] = { "MAINTAINER", make_text, 1 }, [INSTRUCTION_ONBUILD] = { "ONBUILD", make_onbuild, 0 },
	[INSTRUCTION_RUN] = { "RUN", make_run, 0 }, [INSTRUCTION_SHELL] = { "SHELL", make_shell, 1 },
	[INSTRUCTION_STOPSIGNAL] = { "STOPSIGNAL", make_signal, 1 }, [INSTRUCTION_USER] = { "USER", make_text, 1 },
	[INSTRUCTION_VOLUME] = { "VOLUME", make_volume, 1 }, [INSTRUCTION_WORKDIR] = { "WORKDIR", make_text, 1 },
};
static_assert(ARRAY_SIZE(kinds) == INSTRUCTION_KIND_N_, "an entry for each kind");

const char *instruction_name(enum instruction_kind kind)
{
	return kinds[kind].name;
}

static const struct kind *find_kind(const char *keyword)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcasecmp(kinds[i].name, keyword) == 0)
			return &kinds[i];
	}
	return NULL;
}

static void unknown_instruction(const struct instruction_maker *m)
{
	const char *names[ARRAY_SIZE(kinds)], *near;
	struct diag *d = instruction_error(m, keyword_pos(m), "unknown instruction \"%s\"", diag_quote(m->ds, m->node->keyword));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		names[i] = kinds[i].name;
	near = diag_nearest(m->node->keyword, names, ARRAY_SIZE(names));
	if (near)
		diag_hint(m->ds, d, "did you mean %s?", near);
}

static const char *trimmed_code(struct arena *a, const char *text)
{
	size_t n;
	text += strspn(text, " \t\r\n\v\f");
	n = strlen(text);
	while (n && strchr(" \t\r\n\v\f", text[n - 1]))
		n--;
	return arena_strndup(a, text, n);
}

static bool has_nul(const struct dockerfile_node *n)
{
	for (size_t i = 0; i < n->n_words; i++) {
		if (n->json && strstr(n->words[i].text, DOCKERFILE_NUL))
			return true;
	}
	return false;
}

/* Everything but FROM; NULL + errors. */
static struct instruction *make_instruction(struct arena *a, const struct dockerfile_node *n, struct diags *ds)
{
	const struct kind *k = find_kind(n->keyword);
	struct instruction_maker m = { .arena = a, .ds = ds, .node = n, .name = k ? k->name : "" };
	struct instruction *in = arena_alloc(a, sizeof(*in));
	if (!k || !k->fn) {
		unknown_instruction(&m);
		return NULL;
	}
	*in = (struct instruction){
		.kind = (enum instruction_kind)(k - kinds), .node = n, .keyword = n->keyword, .code = trimmed_code(a, n->original),
		.pos = keyword_pos(&m), .first_line = n->first_line, .last_line = n->last_line,
	};
	if (n->n_words < k->min_words) {
		instruction_error(&m, in->pos, "%s needs %s argument", k->name, k->fn == make_text || k->fn == make_signal ? "one" : "at least one");
		return NULL;
	}
	if (has_nul(n)) {
		instruction_error(&m, word_pos(&m, 0), "a string holds a NUL character");
		return NULL;
	}
	return k->fn(&m, in) < 0 ? NULL : in;
}

static bool valid_stage_name(const char *s)
{
	if (*s < 'a' || *s > 'z')
		return false;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == 0;
}

/* FROM; a stage is made even of a broken one, so that what follows is not told to stand outside. */
static int make_stage(struct arena *a, const struct dockerfile_node *n, struct diags *ds, struct instruction_stage *s)
{
	struct instruction_maker m = { .arena = a, .ds = ds, .node = n, .name = "FROM" };
	const struct instruction_flag flags[] = { { "platform", FLAG_TEXT, .text = &s->platform } };
	char *name;
	*s = (struct instruction_stage){
		.name = "", .base = "", .platform = "", .doc = "", .node = n, .keyword = n->keyword, .code = trimmed_code(a, n->original),
		.pos = keyword_pos(&m), .first_line = n->first_line, .last_line = n->last_line,
	};
	if (instruction_read_flags(&m, flags, 1) < 0)
		return -1;
	if (n->n_words != 1 && (n->n_words != 3 || strcasecmp(word(&m, 1), "as") != 0)) {
		struct diag *d = instruction_error(&m, word_pos(&m, n->n_words > 1 ? 1 : 0),
						   n->n_words ? "FROM takes one argument, or three: IMAGE AS NAME" : "FROM needs an image or a stage");
		if (n->n_words > 1 && word(&m, 1)[0] == '#')
			diag_hint(ds, d, "a comment needs a line of its own");
		else if (n->n_words == 2)
			diag_hint(ds, d, "FROM %s AS %s?", diag_quote(ds, word(&m, 0)), diag_quote(ds, word(&m, 1)));
		return -1;
	}
	s->base = word(&m, 0);
	if (n->n_words == 1)
		return 0;
	name = arena_strdup(a, word(&m, 2));
	for (char *c = name; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
	if (!valid_stage_name(name)) {
		diag_hint(ds, instruction_error(&m, word_pos(&m, 2), "\"%s\" is no name for a stage", diag_quote(ds, word(&m, 2))),
			  "it begins with a letter, then letters, digits, \"-\", \"_\" and \".\"");
		return -1;
	}
	s->name = name;
	s->doc = doc_comment(n, name);
	return 0;
}

int instruction_parse(struct arena *a, const struct dockerfile *df, struct diags *ds, struct instructions **ret)
{
	struct instructions *all = arena_alloc(a, sizeof(*all));
	size_t errors = ds->n_errors, cap_stages = 0, cap_meta = 0, cap = 0;
	bool outside = false;
	all->file = df;
	*ret = all;
	for (size_t i = 0; i < df->n_nodes; i++) {
		const struct dockerfile_node *n = df->nodes[i];
		struct instruction_stage *s = all->n_stages ? &all->stages[all->n_stages - 1] : NULL;
		struct instruction *in;
		if (strcasecmp(n->keyword, "FROM") == 0) {
			all->stages = arena_grow(a, all->stages, all->n_stages, &cap_stages, sizeof(*all->stages));
			make_stage(a, n, ds, &all->stages[all->n_stages++]);
			cap = 0;
			continue;
		}
		in = make_instruction(a, n, ds);
		if (!in) {
			outside = true;
		} else if (s) {
			s->v = arena_grow(a, s->v, s->n, &cap, sizeof(*s->v));
			s->v[s->n++] = in;
		} else if (in->kind == INSTRUCTION_ARG) {
			all->meta_args = arena_grow(a, all->meta_args, all->n_meta_args, &cap_meta, sizeof(*all->meta_args));
			all->meta_args[all->n_meta_args++] = in;
		} else if (!outside) {
			diag_hint(ds, diag_error(ds, in->pos, "", "%s before the first FROM: there is no stage yet", instruction_name(in->kind)),
				  "only ARG may stand there");
			outside = true;
		}
	}
	if (!all->n_stages && df->n_nodes && ds->n_errors == errors)
		diag_hint(ds, diag_error(ds, (struct pos){ 0 }, "", "%s: no stages to build", df->src->path), "FROM is missing");
	return all->n_stages && ds->n_errors == errors ? 0 : -1;
}

int instruction_parse_trigger(struct arena *a, const char *name, const char *text, struct diags *ds, struct instruction **ret)
{
	struct dockerfile *df;
	if (dockerfile_parse_trigger(a, name, text, ds, &df) < 0)
		return -1;
	*ret = make_instruction(a, df->nodes[0], ds);
	return *ret ? 0 : -1;
}

void instruction_script(struct arena *a, const struct instruction_command *run, struct instruction_script *ret)
{
	struct dockerfile_heredoc h;
	AUTO_STR struct str text = { 0 };
	const char *data;
	size_t cap = 0;
	*ret = (struct instruction_script){ .args = run->args, .shell = run->shell };
	if (!run->n_files || !run->args.n)
		return;
	ret->args = (struct instruction_list){ 0 };
	if (!dockerfile_is_heredoc(a, run->args.v[0], &h)) {
		/* more than just a here-document: the shell gets all of it */
		str_add(&text, run->args.v[0]);
		for (size_t i = 0; i < run->n_files; i++)
			str_addf(&text, "\n%s%s", run->files[i].data, run->files[i].name);
		instruction_list_add(a, &ret->args, &cap, arena_strndup(a, str_get(&text), text.len));
		return;
	}
	data = run->files[0].chomp ? dockerfile_chomp(a, run->files[0].data) : run->files[0].data;
	if (str_starts(data, "#!")) {
		ret->file_name = run->files[0].name;
		ret->file_data = data;
		data = arena_printf(a, "/dev/pipes/%s", run->files[0].name);
	}
	instruction_list_add(a, &ret->args, &cap, data);
}
