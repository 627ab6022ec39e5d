/* SPDX-License-Identifier: Apache-2.0 */
/* The printer of log lines. Invariants: prefixes line up over all containers that are expected, bytes of a line are not changed but for a
 * terminal's carriage return, nothing is coloured that should not be. */
#include "compose/attach.h"

#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"

static int failures;

static void line(struct attach_printer *p, int container, const char *text, size_t len, bool complete)
{
	struct logs_line l = { .container = container, .time_ns = 1700000000123456789ull, .text = text, .len = len, .complete = complete };
	attach_print_line(p, &l);
}

/* Prints the same lines with a printer and compares what came out on descriptor 1. */
static void run(const char *what, struct attach_printer *p, const char *want, size_t n)
{
	AUTO_CLOSE int fd = memfd_create("out", MFD_CLOEXEC), saved = dup(1);
	AUTO_STR struct str got = {0};
	dup2(fd, 1);
	attach_printer_expect(p, "worker-10");
	attach_printer_add(p, 0, "web-1");
	attach_printer_add(p, 1, "db-1");
	line(p, 0, "hello", 5, true);
	line(p, 1, "a\0b\033[1m\r", 8, true);
	line(p, 0, "", 0, true);
	attach_print_text(p, 0, "web-1 exited with code %d", 3);
	line(p, 1, "tail", 4, false);
	attach_printer_free(p);
	dup2(saved, 1);
	lseek(fd, 0, SEEK_SET);
	if (fs_read_fd(fd, 1 << 20, &got, NULL) < 0 || got.len != n || memcmp(got.p, want, n) != 0) {
		failures++;
		fprintf(stderr, "FAILED: %s\n--- want\n%.*s\n--- got\n%s\n", what, (int)n, want, str_get(&got));
	}
}

static void labels(void)
{
	static const struct { const char *project, *name, *want; } cases[] = {
		{ "shop", "shop-web-1", "web-1" }, { "shop", "shopping-web-1", "shopping-web-1" }, { "shop", "mydb", "mydb" }, { "shop", "shop-", "shop-" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *got = attach_label(cases[i].project, cases[i].name);
		if (strcmp(got, cases[i].want) != 0) {
			failures++;
			fprintf(stderr, "FAILED: label of %s: %s\n", cases[i].name, got);
		}
	}
}

int main(void)
{
	static const char plain[] =
		"web-1      | hello\n"
		"db-1       | a\0b\033[1m\n"
		"web-1      | \n"
		"web-1 exited with code 3\n"
		"db-1       | tail\n";
	static const char coloured[] =
		"\033[36mweb-1      | \033[0mhello\n"
		"\033[33mdb-1       | \033[0ma\0b\033[1m\n"
		"\033[36mweb-1      | \033[0m\n"
		"\033[36mweb-1 exited with code 3\033[0m\n"
		"\033[33mdb-1       | \033[0mtail\n";
	static const char bare[] = "hello\na\0b\033[1m\n\nweb-1 exited with code 3\ntail";
	static const char stamped[] =
		"2023-11-14T22:13:20.123456789Z hello\n2023-11-14T22:13:20.123456789Z a\0b\033[1m\n2023-11-14T22:13:20.123456789Z \n"
		"web-1 exited with code 3\n2023-11-14T22:13:20.123456789Z tail";
	run("prefixes", attach_printer_new(false, true, false), plain, sizeof(plain) - 1);
	run("colours", attach_printer_new(true, true, false), coloured, sizeof(coloured) - 1);
	run("no prefix", attach_printer_new(false, false, false), bare, sizeof(bare) - 1);
	run("time stamps", attach_printer_new(false, false, true), stamped, sizeof(stamped) - 1);
	labels();
	if (failures == 0)
		printf("ok\n");
	return failures ? 1 : 0;
}
