/* SPDX-License-Identifier: Apache-2.0 */
/* ps, ls, port: what there is, read from the records without asking the supervisor. One JSON object for each container is built
 * first, with docker's field names; table, template and json are views of it. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "compose/project.h"
#include "compose/table.h"
#include "compose/table_template.h"

/* A port as docker lists it: ip NULL = only exposed. */
struct shown_port {
	const char *ip;
	unsigned private, public;
	bool udp;
};

static int compare_ports(const void *a, const void *b)
{
	const struct shown_port *x = a, *y = b;
	int by_ip = strcmp(x->ip ? x->ip : "", y->ip ? y->ip : "");
	if (x->private != y->private)
		return x->private < y->private ? -1 : 1;
	if (by_ip || x->public == y->public)
		return by_ip ? by_ip : (int)x->udp - (int)y->udp;
	return x->public < y->public ? -1 : 1;
}

/* Whether q goes on where a group of ports that are published under their own numbers, or not at all, ends. */
static bool same_group(const struct shown_port *p, const struct shown_port *q)
{
	return p->udp == q->udp && str_eq(p->ip ? p->ip : "", q->ip ? q->ip : "");
}

static void add_port(struct str *ret, const struct shown_port *p, unsigned last)
{
	const bool v6 = p->ip && strchr(p->ip, ':');
	AUTO_FREE char *range = last != p->private ? xasprintf("%u-%u", p->private, last) : xasprintf("%u", p->private);
	AUTO_FREE char *public = p->ip && p->public != p->private ? xasprintf("%u", p->public) : xstrdup(range);
	str_add(ret, ret->len ? ", " : "");
	if (p->ip)
		str_addf(ret, "%s%s%s:%s->", v6 ? "[" : "", p->ip, v6 ? "]" : "", public);
	str_addf(ret, "%s/%s", range, p->udp ? "udp" : "tcp");
}

/* In docker's order: runs of numbers that are the same on both sides as ranges, then what is published under another number. */
static void add_sorted_ports(struct shown_port *v, size_t n, struct str *ret)
{
	AUTO_FREE bool *done = xcalloc(n + 1, sizeof(*done));
	qsort(v, n, sizeof(*v), compare_ports);
	for (size_t i = 0; i < n; i++) {
		unsigned last = v[i].private;
		if (done[i] || (v[i].ip && v[i].public != v[i].private))
			continue;
		for (size_t k = i + 1; k < n; k++)
			if (!done[k] && same_group(&v[i], &v[k]) && (!v[k].ip || v[k].public == v[k].private) && v[k].private == last + 1) {
				last = v[k].private;
				done[k] = true;
			}
		add_port(ret, &v[i], last);
	}
	for (size_t i = 0; i < n; i++)
		if (v[i].ip && v[i].public != v[i].private)
			add_port(ret, &v[i], v[i].private);
}

/* "0.0.0.0:8000-8001->8000-8001/tcp, 9000/tcp, 127.0.0.1:18080->8080/tcp": published ports, and those that the image only exposes. */
static void add_ports(const struct record *r, struct str *ret)
{
	AUTO_STRV struct strv exposed = {0};
	AUTO_FREE struct shown_port *v = NULL;
	size_t n = 0;
	json_get_strv(r->image, "exposed_ports", &exposed);
	v = xcalloc(2 * r->n_ports + exposed.n + 1, sizeof(*v));
	for (size_t i = 0; i < r->n_ports; i++) {
		const struct published *p = &r->ports[i];
		v[n++] = (struct shown_port){ p->host_ip, p->target, p->host_port, p->protocol == PORT_UDP };
		if (p->v6 && !strchr(p->host_ip, ':'))
			v[n++] = (struct shown_port){ "::", p->target, p->host_port, p->protocol == PORT_UDP };
	}
	for (size_t i = 0; i < exposed.n && r->status == STATUS_RUNNING; i++) {
		const struct shown_port e = { NULL, (unsigned)strtoul(exposed.v[i], NULL, 10), 0, strstr(exposed.v[i], "/udp") != NULL };
		bool published = false;
		for (size_t k = 0; k < n; k++)
			published = published || (v[k].private == e.private && v[k].udp == e.udp);
		if (!published)
			v[n++] = e;
	}
	add_sorted_ports(v, n, ret);
}

static uint64_t seconds_since(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? (now_ns - then_ns) / 1000000000 : 0;
}

/* "Up 5 seconds", "Exited (3) 1 second ago", "Restarting (1) 2 seconds ago", "Created". */
static char *status_text(const struct record *r, uint64_t now_ns)
{
	char buf[40], code[16];
	const char *ago = table_human_duration(seconds_since(r->finished_ns, now_ns), buf);
	snprintf(code, sizeof(code), r->exit_code < 0 ? "unknown" : "%d", r->exit_code);
	switch (r->status) {
	case STATUS_RUNNING:
		return xasprintf("Up %s", table_human_duration(seconds_since(r->started_ns, now_ns), buf));
	case STATUS_RESTARTING:
		return xasprintf("Restarting (%s) %s ago", code, ago);
	case STATUS_EXITED:
		return r->finished_ns ? xasprintf("Exited (%s) %s ago", code, ago) : xasprintf("Exited (%s)", code);
	default:
		return xstrdup("Created");
	}
}

static json_t *publisher(const struct published *p, const char *host_ip)
{
	return json_pack("{s:s, s:i, s:i, s:s}", "URL", host_ip, "TargetPort", p->target, "PublishedPort", p->host_port, "Protocol",
			 p->protocol == PORT_UDP ? "udp" : "tcp");
}

static json_t *publishers(const struct record *r)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->n_ports; i++) {
		json_array_append_new(list, publisher(&r->ports[i], r->ports[i].host_ip));
		if (r->ports[i].v6 && !strchr(r->ports[i].host_ip, ':'))
			json_array_append_new(list, publisher(&r->ports[i], "::"));
	}
	return list;
}

static void put_lists(json_t *row, const struct record *r, bool no_trunc)
{
	AUTO_STR struct str labels = {0}, mounts = {0}, networks = {0}, ports = {0};
	char local_text[16];
	unsigned local = 0;
	const char *key;
	json_t *value;
	json_object_foreach(r->labels, key, value)
		str_addf(&labels, "%s%s=%s", labels.len ? "," : "", key, json_string_value(value) ? json_string_value(value) : "");
	for (size_t i = 0; i < r->n_mounts; i++) {
		local += r->mounts[i].kind == MOUNT_VOLUME;
		str_add(&mounts, i ? "," : "");
		table_add_cut(&mounts, r->mounts[i].source ? r->mounts[i].source : "", no_trunc ? SIZE_MAX : 15);
	}
	for (size_t i = 0; i < r->n_endpoints; i++)
		str_addf(&networks, "%s%s", networks.len ? "," : "", r->endpoints[i].network_name ? r->endpoints[i].network_name : "");
	add_ports(r, &ports);
	json_put_str(row, "Labels", str_get(&labels));
	snprintf(local_text, sizeof(local_text), "%u", local);
	json_put_str(row, "LocalVolumes", local_text);
	json_put_str(row, "Mounts", str_get(&mounts));
	json_put_str(row, "Networks", str_get(&networks));
	json_put_str(row, "Ports", str_get(&ports));
	json_object_set_new(row, "Publishers", publishers(r));
}

/* The row of one container; Command is quoted and cut to 20 characters unless no_trunc, as docker does. */
static json_t *container_row(const struct record *r, bool no_trunc, uint64_t now_ns)
{
	AUTO_FREE char *command = record_command(r), *status = status_text(r, now_ns), *running = NULL, *built = NULL;
	AUTO_STR struct str cut = {0};
	json_t *row = json_object();
	char created[64] = "", id[SHORT_ID + 1], buf[40];
	time_t t = (time_t)(r->created_ns / 1000000000);
	struct tm tm;
	str_addc(&cut, '"');
	table_add_cut(&cut, command, no_trunc ? SIZE_MAX : 20);
	str_addc(&cut, '"');
	if (localtime_r(&t, &tm))
		strftime(created, sizeof(created), "%Y-%m-%d %H:%M:%S %z %Z", &tm);
	snprintf(id, sizeof(id), "%.*s", SHORT_ID, r->id);
	running = xasprintf("%s ago", table_human_duration(seconds_since(r->created_ns, now_ns), buf));
	json_put_str(row, "Command", str_get(&cut));
	json_put_str(row, "CreatedAt", created);
	json_put_int(row, "ExitCode", r->status == STATUS_EXITED ? r->exit_code : 0);
	json_put_str(row, "Health", "");
	json_put_str(row, "ID", no_trunc ? r->id : id);
	built = xasprintf("%s-%s", r->project, r->service);
	json_put_str(row, "Image", json_get_str(r->config, "image", built));
	json_put_str(row, "Name", r->name);
	json_put_str(row, "Names", r->name);
	json_put_str(row, "Project", r->project);
	json_put_str(row, "RunningFor", running);
	json_put_str(row, "Service", r->service);
	json_put_str(row, "Size", "0B");
	json_put_str(row, "State", status_names[r->status]);
	json_put_str(row, "Status", status);
	put_lists(row, r, no_trunc);
	return row;
}

/* The values of --status and --filter status=; 0, or 1 after a message. */
static int wanted_states(const struct app *app, struct strv *ret)
{
	static const char *const states[] = { "paused", "restarting", "removing", "running", "dead", "created", "exited" };
	const struct strv *given = cli_list(app->args, "status");
	const char *filter = cli_str(app->args, "filter");
	char quoted[80];
	for (size_t i = 0; i < given->n; i++)
		strv_push(ret, given->v[i]);
	if (*filter && !str_starts(filter, "status="))
		return cmd_failf(app, "ps: unknown filter \"%s\": expected status=STATE", err_quote(quoted, sizeof(quoted), filter));
	if (*filter)
		strv_push(ret, filter + strlen("status="));
	for (size_t i = 0; i < ret->n; i++) {
		bool known = false;
		for (size_t k = 0; k < ARRAY_SIZE(states); k++)
			known = known || strcmp(states[k], ret->v[i]) == 0;
		if (!known)
			return cmd_failf(app, "ps: unknown status \"%s\"", err_quote(quoted, sizeof(quoted), ret->v[i]));
	}
	return 0;
}

/* Services of the file, for --orphans=false; everything when the file cannot be read. */
static void file_services(struct app *app, struct strv *ret)
{
	struct project p;
	if (project_load(app, NULL, PROJECT_QUIET, &p) != 0)
		return;
	project_services(&p, ret);
	project_done(&p);
}

static void select_containers(struct app *app, const struct observed *o, const struct strv *states, struct record **ret, size_t *ret_n)
{
	AUTO_STRV struct strv declared = {0};
	bool all = cli_bool(app->args, "all") || states->n, orphans = cli_bool(app->args, "orphans");
	const struct strv *names = &app->args->args;
	if (!orphans)
		file_services(app, &declared);
	for (size_t i = 0; i < o->n; i++) {
		struct record *r = o->containers[i];
		bool alive = r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
		if ((!all && (!alive || r->oneoff)) || (names->n && !strv_has(names, r->service)) || (!orphans && !strv_has(&declared, r->service)))
			continue;
		if (r->oneoff && !cli_bool(app->args, "all"))
			continue;
		if (states->n && !strv_has(states, status_names[r->status]))
			continue;
		ret[(*ret_n)++] = r;
	}
}

static void render_table(struct record **v, size_t n, bool no_trunc, struct str *ret)
{
	static const char *const headings[] = { "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS" };
	static const char *const fields[] = { "Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports" };
	uint64_t now = clock_real_ns();
	struct table t;
	table_init(&t, ARRAY_SIZE(headings), 10, 3);
	for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
		table_cell(&t, headings[i]);
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON json_t *row = container_row(v[i], no_trunc, now);
		for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
			table_cell(&t, json_get_str(row, fields[k], ""));
	}
	table_render(&t, ret);
	table_done(&t);
}

static int render_format(const struct app *app, const char *format, struct record **v, size_t n, struct str *ret)
{
	bool no_trunc = cli_bool(app->args, "no-trunc");
	uint64_t now = clock_real_ns();
	AUTO_JSON json_t *rows = json_array();
	struct err err;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, container_row(v[i], no_trunc, now));
	if (table_template_format(format, rows, NULL, ret, &err) < 0)
		return cmd_fail(app, &err);
	return 0;
}

int cmd_ps(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv states = {0}, services = {0};
	AUTO_STR struct str out = {0};
	AUTO_FREE struct record **v = NULL;
	const char *format = cli_str(a, "format"), *project;
	struct observed o = {0};
	size_t n = 0;
	int rc = wanted_states(app, &states);
	if (rc == 0)
		rc = cmd_observe(app, &project, &o);
	if (rc == 0)
		rc = cmd_check_services(app, &o, &a->args);
	if (rc == 0) {
		v = xcalloc(o.n, sizeof(struct record *)); /* NOLINT: an array of pointers */
		select_containers(app, &o, &states, v, &n);
		if (cli_bool(a, "services")) {
			for (size_t i = 0; i < n; i++)
				if (!strv_has(&services, v[i]->service)) {
					strv_push(&services, v[i]->service);
					str_addf(&out, "%s\n", v[i]->service);
				}
		} else if (cli_bool(a, "quiet")) {
			for (size_t i = 0; i < n; i++)
				str_addf(&out, "%s\n", v[i]->id);
		} else if (strcmp(format, "table") == 0) {
			render_table(v, n, cli_bool(a, "no-trunc"), &out);
		} else {
			rc = render_format(app, format, v, n, &out);
		}
	}
	if (rc == 0)
		rc = cmd_print(app, &out);
	observe_done(&o);
	return rc;
}

/* "running(3)", "exited(1), running(2)". */
static void project_status(const struct observed *o, struct str *ret)
{
	static const enum status order[] = { STATUS_CREATED, STATUS_EXITED, STATUS_RESTARTING, STATUS_RUNNING };
	for (size_t s = 0; s < ARRAY_SIZE(order); s++) {
		unsigned n = 0;
		for (size_t i = 0; i < o->n; i++)
			n += o->containers[i]->status == order[s];
		if (n)
			str_addf(ret, "%s%s(%u)", ret->len ? ", " : "", status_names[order[s]], n);
	}
}

static bool project_runs(const struct observed *o)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->containers[i]->status == STATUS_RUNNING || o->containers[i]->status == STATUS_RESTARTING)
			return true;
	return false;
}

static int add_project(struct app *app, const char *name, json_t *rows)
{
	AUTO_STR struct str status = {0}, files = {0};
	struct observed o = {0};
	struct err err;
	if (observe_project(&app->paths, name, &o, &err) < 0)
		return cmd_fail(app, &err);
	if (o.n && (cli_bool(app->args, "all") || project_runs(&o))) {
		project_status(&o, &status);
		for (size_t i = 0; i < o.config_files.n; i++)
			str_addf(&files, "%s%s", i ? "," : "", o.config_files.v[i]);
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "Name", name, "Status", str_get(&status), "ConfigFiles", str_get(&files)));
	}
	observe_done(&o);
	return 0;
}

static void render_projects(const struct app *app, const json_t *rows, struct str *ret)
{
	static const char *const fields[] = { "Name", "Status", "ConfigFiles" };
	bool quiet = cli_bool(app->args, "quiet");
	struct table t;
	if (!quiet && strcmp(cli_str(app->args, "format"), "json") == 0) {
		AUTO_FREE char *text = json_dumps(rows, JSON_COMPACT);
		str_addf(ret, "%s\n", text ? text : "[]");
		return;
	}
	table_init(&t, ARRAY_SIZE(fields), 20, 3);
	table_cell(&t, "NAME");
	table_cell(&t, "STATUS");
	table_cell(&t, "CONFIG FILES");
	for (size_t i = 0; i < json_array_size(rows); i++)
		for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
			const char *cell = json_get_str(json_array_get(rows, i), fields[k], "");
			if (quiet && k == 0)
				str_addf(ret, "%s\n", cell);
			table_cell(&t, cell);
		}
	if (!quiet)
		table_render(&t, ret);
	table_done(&t);
}

int cmd_ls(struct app *app)
{
	AUTO_STRV struct strv names = {0};
	AUTO_JSON json_t *rows = json_array();
	AUTO_STR struct str out = {0};
	const struct strv *filters = cli_list(app->args, "filter");
	struct err err;
	char quoted[80];
	if (cmd_paths(app, false))
		return 1;
	for (size_t i = 0; i < filters->n; i++)
		if (!str_starts(filters->v[i], "name="))
			return cmd_failf(app, "ls: unknown filter \"%s\": expected name=TEXT", err_quote(quoted, sizeof(quoted), filters->v[i]));
	if (observe_projects(&app->paths, &names, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < names.n; i++) {
		bool match = true;
		for (size_t k = 0; k < filters->n; k++)
			match = match && strstr(names.v[i], filters->v[k] + strlen("name="));
		if (match && add_project(app, names.v[i], rows))
			return 1;
	}
	render_projects(app, rows, &out);
	return cmd_print(app, &out);
}

int cmd_port(struct app *app)
{
	const struct cli_args *a = app->args;
	const char *project, *service = a->args.v[0];
	AUTO_STR struct str out = {0};
	struct observed o = {0};
	struct record *r;
	uint64_t target;
	char quoted[80];
	int64_t index = cli_int(a, "index");
	bool udp = strcmp(cli_str(a, "protocol"), "udp") == 0;
	int rc;
	if (!parse_u64(a->args.v[1], 1, 65535, &target))
		return cmd_failf(app, "port: \"%s\" is no port number", err_quote(quoted, sizeof(quoted), a->args.v[1]));
	rc = cmd_observe(app, &project, &o);
	r = rc == 0 ? observe_find(&o, service, index > 0 ? (unsigned)index : 0) : NULL;
	if (rc == 0 && (!r || r->status != STATUS_RUNNING)) {
		rc = cmd_failf(app, "service \"%s\" is not running", err_quote(quoted, sizeof(quoted), service));
	} else if (rc == 0) {
		for (size_t i = 0; i < r->n_ports && !out.len; i++)
			if (r->ports[i].target == target && (r->ports[i].protocol == PORT_UDP) == udp)
				str_addf(&out, strchr(r->ports[i].host_ip, ':') ? "[%s]:%u\n" : "%s:%u\n", r->ports[i].host_ip, r->ports[i].host_port);
		rc = out.len ? cmd_print(app, &out)
			     : cmd_failf(app, "no port %u/%s for container %s", (unsigned)target, udp ? "udp" : "tcp", r->name);
	}
	observe_done(&o);
	return rc;
}
