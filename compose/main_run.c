/* SPDX-License-Identifier: Apache-2.0 */
/* muster-run: the static binary of everything that lives near containers. Which process it is, its first argument says. It is started from a
 * sealed memfd by the anchor (or, for exec, by the command line) and is of no use by hand. */
#include <stdio.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "compose/anchor.h"
#include "compose/build_exec.h"
#include "compose/supervisor.h"
#include "network/dns_server.h"
#include "runtime/exec.h"
#include "runtime/init.h"
#include "runtime/logs.h"

static int run_anchor(int argc, char **argv)
{
	return argc == 5 ? anchor_main(argv[2], argv[3], argv[4]) : 2;
}

static int run_supervise(int argc, char **argv)
{
	return argc == 4 ? supervisor_main(argv[2], argv[3]) : 2;
}

static int run_logs(int argc, char **argv)
{
	int run_fd = argc == 4 ? fs_open_dir(ANCHOR_FD_RUN, argv[2], NULL) : -1;
	return run_fd < 0 ? 2 : logs_main(ANCHOR_FD_LOGS, run_fd);
}

static int run_dns(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return dns_main(ANCHOR_FD_DNS);
}

static int run_exec(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return exec_main(3);
}

static int run_build(int argc, char **argv)
{
	return argc == 3 || argc == 4 ? build_exec_main(argv[2], argc == 4 && strcmp(argv[3], "sweep") == 0) : 2;
}

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
} processes[] = {
	{ "anchor", run_anchor }, { "supervise", run_supervise }, { "logs", run_logs }, { "dns", run_dns }, { "exec", run_exec },
	{ "build", run_build },
};

int main(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], INIT_NAME) == 0)
		return init_main(argc, argv);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(processes); i++)
		if (strcmp(processes[i].name, argv[1]) == 0) {
			if (processes[i].fn != run_exec && processes[i].fn != run_build) /* a long-lived one, with the anchor's descriptors */
				failpoint_open(ANCHOR_FD_RUN);
			return processes[i].fn(argc, argv);
		}
	fprintf(stderr, "muster-run is started by muster; it does nothing by hand\n");
	return 2;
}
