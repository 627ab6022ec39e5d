/* SPDX-License-Identifier: Apache-2.0 */
/* `muster debug`: what a bug report needs, and the switch for failpoints (base/failpoint.h), with which the fault tests make the very binaries
 * that ship fail, die or wait at a named place. */
#include <stdio.h>

#include "base/failpoint.h"
#include "compose/cmd.h"

static void add_point(struct str *out, const struct failpoint *p, const struct failpoint_count *c)
{
	str_addf(out, "%-22s %-9s %-20s", p->name, p->process, p->can & FAILPOINT_ERRNO ? "kill9,abort,delay,E*" : p->can & FAILPOINT_SHORT ?
		 "kill9,abort,delay,short" : "kill9,abort,delay");
	if (c)
		str_addf(out, " %8llu %5llu", (unsigned long long)c->hits, (unsigned long long)c->fired);
	str_addf(out, "  %s\n", p->meaning);
}

static int list_failpoints(struct app *app)
{
	AUTO_STR struct str out = {0};
	AUTO_FREE struct failpoint_count *counts = xcalloc(n_failpoints, sizeof(*counts));
	struct err err;
	int rc = app->paths.run_fd < 0 ? 1 : failpoint_counts(app->paths.run_fd, counts, &err);
	if (rc < 0)
		return cmd_fail(app, &err);
	str_addf(&out, "%-22s %-9s %-20s%s  %s\n", "NAME", "PROCESS", "ACTIONS", rc == 0 ? "     HITS FIRED" : "", "THE MOMENT WHEN");
	for (size_t i = 0; i < n_failpoints; i++)
		add_point(&out, &failpoints[i], rc == 0 ? &counts[i] : NULL);
	return cmd_print(app, &out);
}

/* on, off, or terms to arm; without any, the list. */
static int debug_failpoints(struct app *app)
{
	const struct strv *words = &app->args->args;
	const char *first = words->n > 1 ? words->v[1] : NULL;
	struct err err;
	if (cmd_paths(app, str_eq(first, "on")))
		return 1;
	if (!first)
		return list_failpoints(app);
	if (str_eq(first, "on"))
		return failpoint_create(app->paths.run_fd, &err) < 0 ? cmd_fail(app, &err) : 0;
	if (str_eq(first, "off"))
		return app->paths.run_fd >= 0 && unlinkat(app->paths.run_fd, FAILPOINT_FILE, 0) < 0 && errno != ENOENT ?
			cmd_failf(app, "remove %s: %s", FAILPOINT_FILE, strerror(errno)) : 0;
	for (size_t i = 1; i < words->n; i++)
		if (failpoint_arm(app->paths.run_fd, words->v[i], &err) < 0)
			return cmd_fail(app, &err);
	return 0;
}

int cmd_debug(struct app *app)
{
	const struct strv *words = &app->args->args;
	if (words->n == 0)
		return cmd_debug_report(app);
	if (!str_eq(words->v[0], "failpoints"))
		return cmd_failf(app, "debug: \"failpoints\" or nothing expected");
	return debug_failpoints(app);
}
