/* SPDX-License-Identifier: Apache-2.0 */
/* The progress display. Invariants: plain lines are what docker compose prints; a frame of the block never exceeds width or height of
 * the screen; outside text cannot move the cursor. */
#include "compose/progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "compose/table.h"

static int failures;

static void same(const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) == 0)
		return;
	failures++;
	fprintf(stderr, "FAILED: %s\n--- want\n%s\n--- got\n%s\n", what, want, got);
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	failures++;
	fprintf(stderr, "FAILED: %s\n", what);
}

static const uint64_t second = 1000000000;

static void feed(struct progress *p)
{
	progress_event(p, "network", "shop_default", "Creating", NULL, 1 * second);
	progress_event(p, "network", "shop_default", "Created", NULL, 1 * second);
	progress_event(p, "container", "shop-db-1", "Creating", NULL, 1 * second);
	progress_event(p, "container", "shop-db-1", "Created", NULL, 1 * second);
	progress_event(p, "container", "shop-db-1", "Starting", NULL, 2 * second);
	progress_event(p, "container", "shop-db-1", "Starting", NULL, 2 * second);
	progress_event(p, "container", "shop-db-1", "Started", NULL, 4 * second);
	progress_event(p, "container", "shop-web-1", "Error", "no \033[31mway", 5 * second);
}

static void run_mode(enum progress_mode mode, bool dry_run, const char *want)
{
	AUTO_CLOSE int fd = memfd_create("out", MFD_CLOEXEC);
	AUTO_STR struct str got = {0};
	struct err err;
	struct progress *p = progress_new(mode, fd, false, dry_run);
	feed(p);
	progress_free(p);
	lseek(fd, 0, SEEK_SET);
	check(fs_read_fd(fd, 1 << 20, &got, &err) == 0, "read back");
	same("mode", str_get(&got), want);
}

static void test_modes(void)
{
	run_mode(PROGRESS_PLAIN, false,
		 " Network shop_default  Creating\n"
		 " Network shop_default  Created\n"
		 " Container shop-db-1  Creating\n"
		 " Container shop-db-1  Created\n"
		 " Container shop-db-1  Starting\n"
		 " Container shop-db-1  Started\n"
		 " Container shop-web-1  Error no \\x1b[31mway\n");
	run_mode(PROGRESS_JSON, true,
		 "{\"dry-run\":true,\"id\":\"Network shop_default\",\"status\":\"Working\",\"text\":\"Creating\"}\n"
		 "{\"dry-run\":true,\"id\":\"Network shop_default\",\"status\":\"Done\",\"text\":\"Created\"}\n"
		 "{\"dry-run\":true,\"id\":\"Container shop-db-1\",\"status\":\"Working\",\"text\":\"Creating\"}\n"
		 "{\"dry-run\":true,\"id\":\"Container shop-db-1\",\"status\":\"Done\",\"text\":\"Created\"}\n"
		 "{\"dry-run\":true,\"id\":\"Container shop-db-1\",\"status\":\"Working\",\"text\":\"Starting\"}\n"
		 "{\"dry-run\":true,\"id\":\"Container shop-db-1\",\"status\":\"Done\",\"text\":\"Started\"}\n"
		 "{\"dry-run\":true,\"id\":\"Container shop-web-1\",\"status\":\"Error\",\"text\":\"Error\",\"details\":\"no \\\\x1b[31mway\"}\n");
	run_mode(PROGRESS_QUIET, false, "");
}

static void test_frame(void)
{
	AUTO_CLOSE int fd = memfd_create("out", MFD_CLOEXEC);
	AUTO_STR struct str wide = {0}, narrow = {0};
	struct progress *p = progress_new(PROGRESS_TTY, fd, false, false);
	unsigned lines;
	feed(p);
	progress_frame(p, 5 * second, 60, 24, &wide, &lines);
	same("frame at 60 columns", str_get(&wide),
	     "[+] Running 3/3\n"
	     " ✔ Network shop_default  Created                       0.0s \n"
	     " ✔ Container shop-db-1   Started                       3.0s \n"
	     " ✘ Container shop-web-1  Error no \\x1b[31mway          0.0s \n");
	check(lines == 4, "lines of the frame");
	progress_frame(p, 5 * second, 20, 24, &narrow, &lines);
	same("frame at 20 columns", str_get(&narrow),
	     "[+] Running 3/3\n"
	     " ✔ Networ…  Created\n"
	     " ✔ Contai…  Started\n"
	     " ✘ Contai…  Error n…\n");
	progress_free(p);
}

/* No frame is wider or higher than the screen, whatever the events. */
static void test_bounds(void)
{
	AUTO_CLOSE int fd = memfd_create("out", MFD_CLOEXEC);
	struct progress *p = progress_new(PROGRESS_TTY, fd, false, true);
	for (int i = 0; i < 40; i++) {
		char name[64];
		snprintf(name, sizeof(name), "project-with-a-long-name-größer-%d", i);
		progress_event(p, "container", name, i % 3 ? "Created" : "Starting", i % 5 ? "" : "a remark that goes on and on", second);
	}
	for (unsigned width = 1; width < 130; width++)
		for (unsigned height = 1; height < 50; height++) {
			AUTO_STR struct str out = {0};
			unsigned lines = 0, n = 0;
			progress_frame(p, 2 * second, width, height, &out, &lines);
			for (const char *s = str_get(&out); *s; n++) {
				size_t len = strcspn(s, "\n");
				AUTO_FREE char *line = xstrndup(s, len);
				if (table_width(line) > MAX(width, 21u)) {
					failures++;
					fprintf(stderr, "FAILED: %u columns: %s\n", width, line);
					width = 1000;
				}
				s += len + 1;
			}
			if (n != lines || lines > MAX(height, 3u) - 1) {
				failures++;
				fprintf(stderr, "FAILED: %u of %u lines at height %u\n", n, lines, height);
				height = 1000;
			}
		}
	progress_free(p);
}

static void test_done_words(void)
{
	static const char *const done[] = { "Created", "Started", "Running", "Healthy", "Stopped", "Removed", "Recreated", "Exited", "Killed", "Error" };
	static const char *const busy[] = { "Creating", "Starting", "Waiting", "Stopping", "Removing", "Recreate", "Restarting", "Killing" };
	for (size_t i = 0; i < ARRAY_SIZE(done); i++)
		check(progress_is_done(done[i]), done[i]);
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
		check(!progress_is_done(busy[i]), busy[i]);
}

int main(void)
{
	test_modes();
	test_frame();
	test_bounds();
	test_done_words();
	if (failures == 0)
		printf("ok\n");
	return failures ? 1 : 0;
}
