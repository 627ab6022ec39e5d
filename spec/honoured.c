/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys and the walk that compares a model with it. A key that is not in the table is refused, so a key that a later version of
 * the schema brings is not ignored by accident; tests/unit/spec_honoured.c asks for every key of the schema all the same.
 * No-ops are few, each for a reason: what only describes (annotations, labels of networks and volumes, ports' names), what has an
 * effect elsewhere (develop: `watch`; definitions of configs, secrets and models: the services that use them), what means nothing on
 * one Linux machine (deploy.labels, attachable, consistency), what documents (expose, version). */
#include "spec/honoured.h"

#include "base/str.h"
#include "spec/logging.h"

/* What the table says of a key. */
enum rule_kind {
	RULE_YES,     /* honoured, whatever is in it */
	RULE_DEEP,    /* honoured; the keys in it have rules of their own */
	RULE_VALUES,  /* honoured for the values listed */
	RULE_DEFAULT, /* only what is so anyway may be asked for: the values listed */
	RULE_HEALTHCHECK, /* the same: none */
	RULE_LOG_OPTIONS, /* honoured; an option that is none, or its value, is told here */
	RULE_RESTART, /* honoured; a word that is no policy is told here, with its place */
	RULE_REFRESH, /* honoured beside pull_policy: refresh; without it it would mean nothing */
	RULE_LINKS,   /* without another name: services of one network know each other anyway */
	RULE_NO_OP,
	RULE_REFUSED,
};

struct rule {
	const char *path;
	enum rule_kind kind;
	const char *text;  /* RULE_VALUES, RULE_DEFAULT: the values, separated by spaces. RULE_REFUSED: a hint or NULL */
};

#if defined(__x86_64__)
#define PLATFORM "linux linux/amd64"
#elif defined(__aarch64__)
#define PLATFORM "linux linux/arm64 linux/arm64/v8"
#elif defined(__arm__)
#define PLATFORM "linux linux/arm linux/arm/v7"
#elif defined(__riscv)
#define PLATFORM "linux linux/riscv64"
#elif defined(__powerpc64__)
#define PLATFORM "linux linux/ppc64le"
#elif defined(__s390x__)
#define PLATFORM "linux linux/s390x"
#else
#define PLATFORM "linux"
#endif

/* Sorted by path, for bsearch. "*" is a name, "[]" an entry of a list. */
static const struct rule rules[] = {
	{ "configs", RULE_NO_OP, NULL },
	{ "include", RULE_YES, NULL },
	{ "models", RULE_NO_OP, NULL },
	{ "name", RULE_YES, NULL },
	{ "networks", RULE_DEEP, NULL },
	{ "networks.*", RULE_DEEP, NULL },
	{ "networks.*.attachable", RULE_NO_OP, NULL },
	{ "networks.*.driver", RULE_DEFAULT, "bridge default" },
	{ "networks.*.driver_opts", RULE_REFUSED, NULL },
	{ "networks.*.enable_ipv4", RULE_DEFAULT, "true" },
	{ "networks.*.enable_ipv6", RULE_DEFAULT, "false" },
	{ "networks.*.external", RULE_YES, NULL },
	{ "networks.*.internal", RULE_YES, NULL },
	{ "networks.*.ipam", RULE_DEEP, NULL },
	{ "networks.*.ipam.config", RULE_DEEP, NULL },
	{ "networks.*.ipam.config[]", RULE_DEEP, NULL },
	{ "networks.*.ipam.config[].aux_addresses", RULE_YES, NULL },
	{ "networks.*.ipam.config[].gateway", RULE_YES, NULL },
	{ "networks.*.ipam.config[].ip_range", RULE_YES, NULL },
	{ "networks.*.ipam.config[].subnet", RULE_YES, NULL },
	{ "networks.*.ipam.driver", RULE_DEFAULT, "default" },
	{ "networks.*.ipam.options", RULE_REFUSED, NULL },
	{ "networks.*.labels", RULE_NO_OP, NULL },
	{ "networks.*.name", RULE_YES, NULL },
	{ "secrets", RULE_NO_OP, NULL },
	{ "services", RULE_DEEP, NULL },
	{ "services.*", RULE_DEEP, NULL },
	{ "services.*.annotations", RULE_NO_OP, NULL },
	{ "services.*.attach", RULE_DEFAULT, "true" },
	{ "services.*.blkio_config", RULE_REFUSED, NULL },
	{ "services.*.build", RULE_DEEP, NULL },
	{ "services.*.build.additional_contexts", RULE_YES, NULL },
	{ "services.*.build.args", RULE_YES, NULL },
	{ "services.*.build.cache_from", RULE_YES, NULL },
	{ "services.*.build.cache_to", RULE_YES, NULL },
	{ "services.*.build.context", RULE_YES, NULL },
	{ "services.*.build.dockerfile", RULE_YES, NULL },
	{ "services.*.build.dockerfile_inline", RULE_YES, NULL },
	{ "services.*.build.entitlements", RULE_YES, NULL },
	{ "services.*.build.extra_hosts", RULE_YES, NULL },
	{ "services.*.build.isolation", RULE_DEFAULT, "default" },
	{ "services.*.build.labels", RULE_YES, NULL },
	{ "services.*.build.network", RULE_VALUES, "default host none" },
	{ "services.*.build.no_cache", RULE_YES, NULL },
	{ "services.*.build.no_cache_filter", RULE_YES, NULL },
	{ "services.*.build.platforms", RULE_YES, NULL },
	{ "services.*.build.privileged", RULE_YES, NULL },
	{ "services.*.build.provenance", RULE_DEFAULT, "false" },
	{ "services.*.build.pull", RULE_YES, NULL },
	{ "services.*.build.sbom", RULE_DEFAULT, "false" },
	{ "services.*.build.secrets", RULE_YES, NULL },
	{ "services.*.build.shm_size", RULE_YES, NULL },
	{ "services.*.build.ssh", RULE_YES, NULL },
	{ "services.*.build.tags", RULE_YES, NULL },
	{ "services.*.build.target", RULE_YES, NULL },
	{ "services.*.build.ulimits", RULE_YES, NULL },
	{ "services.*.cap_add", RULE_YES, NULL },
	{ "services.*.cap_drop", RULE_YES, NULL },
	{ "services.*.cgroup", RULE_DEFAULT, "private" },
	{ "services.*.cgroup_parent", RULE_REFUSED, NULL },
	{ "services.*.command", RULE_YES, NULL },
	{ "services.*.configs", RULE_REFUSED, NULL },
	{ "services.*.container_name", RULE_YES, NULL },
	{ "services.*.cpu_count", RULE_DEFAULT, "0" },
	{ "services.*.cpu_percent", RULE_DEFAULT, "0" },
	{ "services.*.cpu_period", RULE_DEFAULT, "0" },
	{ "services.*.cpu_quota", RULE_DEFAULT, "0" },
	{ "services.*.cpu_rt_period", RULE_DEFAULT, "0" },
	{ "services.*.cpu_rt_runtime", RULE_DEFAULT, "0" },
	{ "services.*.cpu_shares", RULE_DEFAULT, "1024 0" },
	{ "services.*.cpus", RULE_YES, NULL },
	{ "services.*.cpuset", RULE_REFUSED, NULL },
	{ "services.*.credential_spec", RULE_REFUSED, NULL },
	{ "services.*.depends_on", RULE_DEEP, NULL },
	{ "services.*.depends_on.*", RULE_DEEP, NULL },
	{ "services.*.depends_on.*.condition", RULE_VALUES, "service_started service_completed_successfully" },
	{ "services.*.depends_on.*.required", RULE_YES, NULL },
	{ "services.*.depends_on.*.restart", RULE_YES, NULL },
	{ "services.*.deploy", RULE_DEEP, NULL },
	{ "services.*.deploy.endpoint_mode", RULE_DEFAULT, "dnsrr" },
	{ "services.*.deploy.labels", RULE_NO_OP, NULL },
	{ "services.*.deploy.mode", RULE_DEFAULT, "replicated" },
	{ "services.*.deploy.placement", RULE_REFUSED, NULL },
	{ "services.*.deploy.replicas", RULE_YES, NULL },
	{ "services.*.deploy.resources", RULE_DEEP, NULL },
	{ "services.*.deploy.resources.limits", RULE_DEEP, NULL },
	{ "services.*.deploy.resources.limits.cpus", RULE_YES, NULL },
	{ "services.*.deploy.resources.limits.memory", RULE_YES, NULL },
	{ "services.*.deploy.resources.limits.pids", RULE_YES, NULL },
	{ "services.*.deploy.resources.reservations", RULE_REFUSED, NULL },
	{ "services.*.deploy.restart_policy", RULE_REFUSED, "use \"restart\" of the service" },
	{ "services.*.deploy.rollback_config", RULE_REFUSED, NULL },
	{ "services.*.deploy.update_config", RULE_REFUSED, NULL },
	{ "services.*.develop", RULE_NO_OP, NULL },
	{ "services.*.device_cgroup_rules", RULE_REFUSED, NULL },
	{ "services.*.devices", RULE_REFUSED, NULL },
	{ "services.*.dns", RULE_REFUSED, NULL },
	{ "services.*.dns_opt", RULE_YES, NULL },
	{ "services.*.dns_search", RULE_YES, NULL },
	{ "services.*.domainname", RULE_YES, NULL },
	{ "services.*.entrypoint", RULE_YES, NULL },
	{ "services.*.env_file", RULE_YES, NULL },
	{ "services.*.environment", RULE_YES, NULL },
	{ "services.*.expose", RULE_NO_OP, NULL },
	{ "services.*.extends", RULE_YES, NULL },
	{ "services.*.external_links", RULE_REFUSED, NULL },
	{ "services.*.extra_hosts", RULE_YES, NULL },
	{ "services.*.gpus", RULE_REFUSED, NULL },
	{ "services.*.group_add", RULE_REFUSED, NULL },
	{ "services.*.healthcheck", RULE_HEALTHCHECK, NULL },
	{ "services.*.hostname", RULE_YES, NULL },
	{ "services.*.image", RULE_YES, NULL },
	{ "services.*.init", RULE_YES, NULL },
	{ "services.*.ipc", RULE_DEFAULT, "private" },
	{ "services.*.isolation", RULE_DEFAULT, "default" },
	{ "services.*.label_file", RULE_YES, NULL },
	{ "services.*.labels", RULE_YES, NULL },
	{ "services.*.links", RULE_LINKS, "another name for a service is its networks.NAME.aliases" },
	{ "services.*.logging", RULE_DEEP, NULL },
	{ "services.*.logging.driver", RULE_VALUES, "json-file local none" },
	{ "services.*.logging.options", RULE_LOG_OPTIONS, NULL },
	{ "services.*.mac_address", RULE_REFUSED, NULL },
	{ "services.*.mem_limit", RULE_YES, NULL },
	{ "services.*.mem_reservation", RULE_DEFAULT, "0" },
	{ "services.*.mem_swappiness", RULE_REFUSED, NULL },
	{ "services.*.memswap_limit", RULE_DEFAULT, "0" },
	{ "services.*.models", RULE_REFUSED, NULL },
	{ "services.*.network_mode", RULE_VALUES, "none host" },
	{ "services.*.networks", RULE_DEEP, NULL },
	{ "services.*.networks.*", RULE_DEEP, NULL },
	{ "services.*.networks.*.aliases", RULE_YES, NULL },
	{ "services.*.networks.*.driver_opts", RULE_REFUSED, NULL },
	{ "services.*.networks.*.gw_priority", RULE_DEFAULT, "0" },
	{ "services.*.networks.*.interface_name", RULE_REFUSED, NULL },
	{ "services.*.networks.*.ipv4_address", RULE_YES, NULL },
	{ "services.*.networks.*.ipv6_address", RULE_REFUSED, NULL },
	{ "services.*.networks.*.link_local_ips", RULE_REFUSED, NULL },
	{ "services.*.networks.*.mac_address", RULE_REFUSED, NULL },
	{ "services.*.networks.*.priority", RULE_YES, NULL },
	{ "services.*.oom_kill_disable", RULE_DEFAULT, "false" },
	{ "services.*.oom_score_adj", RULE_DEFAULT, "0" },
	{ "services.*.pid", RULE_REFUSED, NULL },
	{ "services.*.pids_limit", RULE_YES, NULL },
	{ "services.*.platform", RULE_DEFAULT, PLATFORM },
	{ "services.*.ports", RULE_DEEP, NULL },
	{ "services.*.ports[]", RULE_DEEP, NULL },
	{ "services.*.ports[].app_protocol", RULE_NO_OP, NULL },
	{ "services.*.ports[].host_ip", RULE_YES, NULL },
	{ "services.*.ports[].mode", RULE_VALUES, "ingress host" },
	{ "services.*.ports[].name", RULE_NO_OP, NULL },
	{ "services.*.ports[].protocol", RULE_VALUES, "tcp udp" },
	{ "services.*.ports[].published", RULE_YES, NULL },
	{ "services.*.ports[].target", RULE_YES, NULL },
	{ "services.*.post_start", RULE_REFUSED, NULL },
	{ "services.*.pre_start", RULE_REFUSED, NULL },
	{ "services.*.pre_stop", RULE_REFUSED, NULL },
	{ "services.*.privileged", RULE_YES, NULL },
	{ "services.*.profiles", RULE_YES, NULL },
	{ "services.*.provider", RULE_REFUSED, NULL },
	{ "services.*.pull_policy", RULE_VALUES, "missing if_not_present never always build refresh daily weekly every_*" },
	{ "services.*.pull_refresh_after", RULE_REFRESH, NULL },
	{ "services.*.read_only", RULE_YES, NULL },
	{ "services.*.restart", RULE_RESTART, NULL },
	{ "services.*.runtime", RULE_REFUSED, NULL },
	{ "services.*.scale", RULE_YES, NULL },
	{ "services.*.secrets", RULE_REFUSED, NULL },
	{ "services.*.security_opt", RULE_YES, NULL },
	{ "services.*.shm_size", RULE_YES, NULL },
	{ "services.*.stdin_open", RULE_YES, NULL },
	{ "services.*.stop_grace_period", RULE_YES, NULL },
	{ "services.*.stop_signal", RULE_YES, NULL },
	{ "services.*.storage_opt", RULE_REFUSED, NULL },
	{ "services.*.sysctls", RULE_YES, NULL },
	{ "services.*.tmpfs", RULE_YES, NULL },
	{ "services.*.tty", RULE_YES, NULL },
	{ "services.*.ulimits", RULE_YES, NULL },
	{ "services.*.use_api_socket", RULE_DEFAULT, "false" },
	{ "services.*.user", RULE_YES, NULL },
	{ "services.*.userns_mode", RULE_DEFAULT, "host" },
	{ "services.*.uts", RULE_REFUSED, NULL },
	{ "services.*.volumes", RULE_DEEP, NULL },
	{ "services.*.volumes[]", RULE_DEEP, NULL },
	{ "services.*.volumes[].bind", RULE_DEEP, NULL },
	{ "services.*.volumes[].bind.create_host_path", RULE_YES, NULL },
	{ "services.*.volumes[].bind.propagation", RULE_DEFAULT, "rprivate" },
	{ "services.*.volumes[].bind.recursive", RULE_DEFAULT, "enabled" },
	{ "services.*.volumes[].bind.selinux", RULE_REFUSED, NULL },
	{ "services.*.volumes[].consistency", RULE_NO_OP, NULL },
	{ "services.*.volumes[].image", RULE_REFUSED, NULL },
	{ "services.*.volumes[].read_only", RULE_YES, NULL },
	{ "services.*.volumes[].source", RULE_YES, NULL },
	{ "services.*.volumes[].target", RULE_YES, NULL },
	{ "services.*.volumes[].tmpfs", RULE_YES, NULL },
	{ "services.*.volumes[].type", RULE_VALUES, "volume bind tmpfs" },
	{ "services.*.volumes[].volume", RULE_DEEP, NULL },
	{ "services.*.volumes[].volume.labels", RULE_NO_OP, NULL },
	{ "services.*.volumes[].volume.nocopy", RULE_YES, NULL },
	{ "services.*.volumes[].volume.subpath", RULE_REFUSED, NULL },
	{ "services.*.volumes_from", RULE_REFUSED, NULL },
	{ "services.*.working_dir", RULE_YES, NULL },
	{ "version", RULE_NO_OP, NULL },
	{ "volumes", RULE_DEEP, NULL },
	{ "volumes.*", RULE_DEEP, NULL },
	{ "volumes.*.driver", RULE_DEFAULT, "local" },
	{ "volumes.*.driver_opts", RULE_REFUSED, NULL },
	{ "volumes.*.external", RULE_YES, NULL },
	{ "volumes.*.labels", RULE_NO_OP, NULL },
	{ "volumes.*.name", RULE_YES, NULL },
};

static int compare_rule(const void *key, const void *rule)
{
	return strcmp(key, ((const struct rule *)rule)->path);
}

static const struct rule *find_rule(const char *path)
{
	return bsearch(path, rules, ARRAY_SIZE(rules), sizeof(rules[0]), compare_rule);
}

/* The step before the last one: "a.b[].c" -> "a.b[]" -> "a.b" -> "a" -> "". */
static void cut_step(char *path)
{
	size_t len = strlen(path);
	if (len > 2 && path[len - 1] == ']') {
		path[len - 2] = '\0';
		return;
	}
	while (len > 0 && path[len] != '.')
		len--;
	path[len] = '\0';
}

static bool is_extension(const char *path)
{
	const char *dot = strrchr(path, '.');
	return str_starts(dot ? dot + 1 : path, "x-");
}

enum honoured_status honoured_status(const char *path)
{
	AUTO_FREE char *part = xstrdup(path);
	const struct rule *r = find_rule(part);
	bool inside = !r;
	if (is_extension(path))
		return HONOURED_NO_OP;
	for (; !r && *part; r = find_rule(part))
		cut_step(part);
	if (!r || (inside && r->kind == RULE_DEEP))
		return HONOURED_UNKNOWN;
	switch (r->kind) {
	case RULE_YES:
	case RULE_DEEP:
	case RULE_RESTART:
	case RULE_REFRESH:
	case RULE_LOG_OPTIONS:
		return HONOURED_YES;
	case RULE_VALUES:
	case RULE_LINKS:
		return HONOURED_VALUES;
	case RULE_DEFAULT:
	case RULE_HEALTHCHECK:
		return HONOURED_DEFAULT;
	case RULE_NO_OP:
		return HONOURED_NO_OP;
	case RULE_REFUSED:
		break;
	}
	return HONOURED_REFUSED;
}

const char *honoured_status_name(enum honoured_status status)
{
	static const char *const names[] = {
		[HONOURED_UNKNOWN] = "unknown", [HONOURED_YES] = "honoured", [HONOURED_VALUES] = "honoured for some values",
		[HONOURED_DEFAULT] = "at its default only", [HONOURED_NO_OP] = "no-op", [HONOURED_REFUSED] = "not supported yet",
	};
	static_assert(ARRAY_SIZE(names) == HONOURED_N_, "a name for each status");
	return status < HONOURED_N_ ? names[status] : names[HONOURED_UNKNOWN];
}

const char *honoured_values(const char *path)
{
	const struct rule *r = find_rule(path);
	return r && r->kind == RULE_VALUES ? r->text : NULL;
}

struct walk {
	struct diags *ds;
	struct str path;   /* of the rule: names as "*" */
	bool failed;
};

/* A key and its value in the model. */
struct used {
	struct node_path step;
	struct pos pos;
	const struct node *value, *in;  /* in: the map that has it, NULL in a list */
};

/* Nothing is asked for: no value, an empty one, or what the loader filled in. */
static bool is_empty(const struct node *v)
{
	switch (v->kind) {
	case NODE_NULL:
		return true;
	case NODE_STRING:
		return *v->text == '\0';
	case NODE_SEQ:
	case NODE_MAP:
		return v->n == 0;
	default:
		return v->implied;
	}
}

static const char *scalar_text(const struct node *v)
{
	if (v->kind == NODE_BOOL)
		return v->boolean ? "true" : "false";
	return v->kind == NODE_SEQ || v->kind == NODE_MAP ? "" : v->text;
}

/* One of the words that spaces separate; one that ends in "*" stands for all that begin like it. */
static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);
	for (const char *p = words; len > 0; p++) {
		size_t n = strcspn(p, " ");
		if (n == len && memcmp(p, word, n) == 0)
			return true;
		if (n > 1 && p[n - 1] == '*' && len >= n && memcmp(p, word, n - 1) == 0)
			return true;
		p += n;
		if (!*p)
			break;
	}
	return false;
}

static struct diag *refuse(struct walk *w, const struct used *u, const char *message)
{
	w->failed = true;
	return diag_error(w->ds, u->pos, node_path_text(w->ds->arena, &u->step), "%s", message);
}

static void check_values(struct walk *w, const struct used *u, const char *values)
{
	const char *text = scalar_text(u->value);
	AUTO_STR struct str hint = { 0 };
	struct diag *d;
	if (has_word(values, text))
		return;
	d = refuse(w, u, arena_printf(w->ds->arena, "\"%s\" is not supported yet", diag_quote(w->ds, text)));
	for (const char *p = values; *p;) {
		size_t n = strcspn(p, " ");
		str_addf(&hint, "%s\"%.*s\"", p == values ? "" : ", ", (int)n, p);
		p += n + (p[n] == ' ');
	}
	diag_hint(w->ds, d, "supported so far: %s", str_get(&hint));
}

/* A check that is switched off asks for nothing: none is run. */
static bool is_no_check(const struct node *healthcheck)
{
	const struct node *disable = node_get(healthcheck, "disable"), *test = node_get(healthcheck, "test");
	if (disable && str_eq(scalar_text(disable), "true"))
		return true;
	return node_is(test, NODE_SEQ) && test->n > 0 && str_eq(scalar_text(test->items[0]), "NONE");
}

static bool is_restart_policy(const char *s)
{
	uint64_t n;
	if (str_starts(s, "on-failure:"))
		return parse_u64(s + strlen("on-failure:"), 0, INT32_MAX, &n);
	return has_word("no always on-failure unless-stopped", s);
}

static void check_restart(struct walk *w, const struct used *u)
{
	const char *text = scalar_text(u->value);
	struct diag *d;
	if (is_restart_policy(text))
		return;
	d = refuse(w, u, arena_printf(w->ds->arena, "\"%s\" is no restart policy", diag_quote(w->ds, text)));
	diag_hint(w->ds, d, "it can be \"no\", always, on-failure, on-failure:ATTEMPTS or unless-stopped");
}

static void check_refresh(struct walk *w, const struct used *u)
{
	const struct node *policy = u->in ? node_get(u->in, "pull_policy") : NULL;
	if (!policy || strcmp(scalar_text(policy), "refresh") != 0)
		diag_hint(w->ds, refuse(w, u, "has no effect without pull_policy: refresh"), "or write pull_policy: every_%s", scalar_text(u->value));
}

static void check_log_options(struct walk *w, const struct used *options)
{
	for (size_t i = 0; options->value->kind == NODE_MAP && i < options->value->n; i++) {
		const struct node_entry *e = &options->value->entries[i];
		struct used u = { .step = { .up = &options->step, .key = e->key }, .pos = e->key_pos.src ? e->key_pos : e->value->pos, .value = e->value };
		const char *fault = is_empty(e->value) ? NULL : logging_option_fault(e->key, scalar_text(e->value));
		if (fault && str_starts(fault, "is "))
			fault = arena_printf(w->ds->arena, "\"%s\" %s", diag_quote(w->ds, scalar_text(e->value)), fault);
		if (fault)
			refuse(w, &u, fault);
	}
}

static void check_links(struct walk *w, const struct used *u, const char *hint)
{
	for (size_t i = 0; u->value->kind == NODE_SEQ && i < u->value->n; i++) {
		const struct node *item = u->value->items[i];
		const struct used one = { .step = { .up = &u->step, .index = i }, .pos = item->pos, .value = item };
		const char *text = scalar_text(item), *colon = strchr(text, ':');
		if (colon && (strlen(colon + 1) != (size_t)(colon - text) || strncmp(text, colon + 1, (size_t)(colon - text)) != 0))
			diag_hint(w->ds, refuse(w, &one, "another name is not supported yet"), "%s", hint);
	}
}

static void check_inside(struct walk *w, const struct node *v, const struct node_path *step);

static void check_used(struct walk *w, const struct used *u)
{
	const struct rule *r = find_rule(str_get(&w->path));
	if (is_empty(u->value))
		return;
	if (!r) {
		refuse(w, u, "not supported yet");
		return;
	}
	switch (r->kind) {
	case RULE_YES:
	case RULE_NO_OP:
		break;
	case RULE_DEEP:
		check_inside(w, u->value, &u->step);
		break;
	case RULE_VALUES:
	case RULE_DEFAULT:
		check_values(w, u, r->text);
		break;
	case RULE_HEALTHCHECK:
		if (!is_no_check(u->value))
			refuse(w, u, "not supported yet");
		break;
	case RULE_RESTART:
		check_restart(w, u);
		break;
	case RULE_LINKS:
		check_links(w, u, r->text);
		break;
	case RULE_REFRESH:
		check_refresh(w, u);
		break;
	case RULE_LOG_OPTIONS:
		check_log_options(w, u);
		break;
	case RULE_REFUSED:
		if (u->value->implied)
			break;
		if (r->text)
			diag_hint(w->ds, refuse(w, u, "not supported yet"), "%s", r->text);
		else
			refuse(w, u, "not supported yet");
		break;
	}
}

static void cut_path(struct walk *w, size_t len)
{
	w->path.len = len;
	w->path.p[len] = '\0';
}

static void check_inside(struct walk *w, const struct node *v, const struct node_path *step)
{
	size_t len = w->path.len;
	bool named;
	str_add(&w->path, ".*");
	named = find_rule(str_get(&w->path)) != NULL;
	cut_path(w, len);
	for (size_t i = 0; v->kind == NODE_MAP && i < v->n; i++) {
		const struct node_entry *e = &v->entries[i];
		struct used u = { .step = { .up = step, .key = e->key }, .pos = e->key_pos, .value = e->value, .in = v };
		if (!named && str_starts(e->key, "x-"))
			continue;
		if (!u.pos.src)
			u.pos = e->value->pos;
		str_addf(&w->path, "%s%s", len ? "." : "", named ? "*" : e->key);
		check_used(w, &u);
		cut_path(w, len);
	}
	for (size_t i = 0; v->kind == NODE_SEQ && i < v->n; i++) {
		struct used u = { .step = { .up = step, .index = i }, .pos = v->items[i]->pos, .value = v->items[i] };
		str_add(&w->path, "[]");
		check_used(w, &u);
		cut_path(w, len);
	}
}

int honoured_check(const struct node *model, struct diags *ds)
{
	struct walk w = { .ds = ds };
	check_inside(&w, model, NULL);
	str_done(&w.path);
	if (w.failed)
		diags_sort(ds);
	return w.failed ? -1 : 0;
}
