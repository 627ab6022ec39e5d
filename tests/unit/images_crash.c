/* SPDX-License-Identifier: Apache-2.0 */
/* Importers that are killed, that run out of space, that run beside each other and beside a remover: the store is always one
 * that a lookup can use, an image is there whole or not at all, and what a dead one left is gone after the next sweep. */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "images/import.h"
#include "images/load.h"
#include "images/verify.h"
#include "tests/unit/images_rig.h"

static void no_progress(void *arg, uint64_t done, uint64_t total)
{
	(void)arg, (void)done, (void)total;
}

static void no_warning(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void no_loaded(void *arg, const char *ref, const char *id)
{
	(void)arg, (void)ref, (void)id;
}

static const struct work_listener silent = { .progress = no_progress, .warning = no_warning, .loaded = no_loaded };

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int n_in(int root, const char *dir)
{
	int n = 0;
	return fs_each(root, dir, count_name, &n, NULL) < 0 ? -1 : n;
}

/* An archive of n files that differs with mark, in a memfd. */
static int make_archive(int n, const char *mark, size_t file_bytes)
{
	AUTO_STR struct str tar = {0}, data = {0};
	int fd = memfd_create("archive", MFD_CLOEXEC);
	while (data.len < file_bytes)
		str_addf(&data, "%s ", mark);
	for (int i = 0; i < n; i++) {
		char name[32];
		snprintf(name, sizeof(name), "d%d/f%d", i % 7, i);
		tar_add(&tar, &(struct entry){ .name = name, .data = data.p });
	}
	tar_end(&tar);
	NEED(fd >= 0 && fs_write_all(fd, tar.p, tar.len, NULL) == 0);
	return fd;
}

static int import_fd(int root, int archive, const char *name, struct err *err)
{
	AUTO_STORE struct store *s = NULL;
	struct work w = { .listener = &silent };
	char path[32], id[65];
	AUTO_CLOSE int fd = open(fs_fd_path(archive, path), O_RDONLY | O_CLOEXEC); /* a position of its own */
	if (store_open(root, &s, err) < 0)
		return -1;
	w.store = s;
	w.input_fd = fd;
	return import_rootfs(&w, name, NULL, NULL, id, err);
}

/* Every image of the store has its layers and as many files as its archive. Returns their number. */
static size_t check_store(int root, int want_files)
{
	AUTO_STORE struct store *s = NULL;
	struct image *list = NULL;
	struct err err = {0};
	size_t n = 0;
	NEED(store_open(root, &s, &err) == 0);
	EXPECT(store_list(s, &list, &n, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < n; i++) {
		int *fds, files = 0;
		size_t n_fds;
		EXPECT(store_open_layers(s, &list[i], &fds, &n_fds, &err) == 0, "%s", err.msg);
		for (int d = 0; d < 7; d++) {
			char dir[16];
			snprintf(dir, sizeof(dir), "d%d", d);
			files += n_in(fds[0], dir);
		}
		EXPECT(files == want_files, "%d files of %d", files, want_files);
		close(fds[0]);
		free(fds);
	}
	store_list_free(list, n);
	return n;
}

static void test_kill(void)
{
	struct scratch scratch;
	int seen = 0;
	scratch_init(&scratch);
	for (int round = 0; round < 40; round++) {
		AUTO_STORE struct store *s = NULL;
		struct err err = {0};
		char mark[32];
		snprintf(mark, sizeof(mark), "round %d", round);
		AUTO_CLOSE int archive = make_archive(60, mark, 3000);
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			_exit(import_fd(scratch.fd, archive, "app", NULL) < 0);
		usleep((useconds_t)(round * 613 % 23000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		NEED(store_open(scratch.fd, &s, &err) == 0);
		EXPECT(store_sweep(s, &err) == 0, "round %d: %s", round, err.msg);
		seen = (int)check_store(scratch.fd, 60);
		EXPECT(n_in(scratch.fd, "layers") == seen, "round %d: %d layers for %d images", round, n_in(scratch.fd, "layers"), seen);
	}
	printf("killed 40 times, %d imports were done\n", seen);
	scratch_done(&scratch);
}

/* A docker-archive of one layer: loading it also writes blobs of the layout. */
static int make_image_archive(const char *mark)
{
	AUTO_STR struct str layer = {0}, config = {0}, manifest = {0}, tar = {0};
	int fd = memfd_create("archive", MFD_CLOEXEC);
	char hex[65];
	for (int i = 0; i < 60; i++) {
		AUTO_FREE char *name = xasprintf("d%d/f%d", i % 7, i);
		tar_add(&layer, &(struct entry){ .name = name, .data = mark });
	}
	tar_end(&layer);
	sha256_hex(layer.p, layer.len, hex);
	str_addf(&config, "{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}", hex);
	str_add(&manifest, "[{\"Config\":\"c.json\",\"RepoTags\":[\"app:1\"],\"Layers\":[\"l.tar\"]}]");
	const struct entry l = { .name = "l.tar" };
	tar_header(&tar, &l, l.name, '0', (long long)layer.len);
	str_addn(&tar, layer.p, layer.len); /* whole blocks */
	tar_add(&tar, &(struct entry){ .name = "c.json", .data = config.p });
	tar_add(&tar, &(struct entry){ .name = "manifest.json", .data = manifest.p });
	tar_end(&tar);
	NEED(fd >= 0 && fs_write_all(fd, tar.p, tar.len, NULL) == 0);
	return fd;
}

static int load_fd(int root, int archive, struct err *err)
{
	AUTO_STORE struct store *s = NULL;
	struct work w = { .listener = &silent };
	char path[32];
	AUTO_CLOSE int fd = open(fs_fd_path(archive, path), O_RDONLY | O_CLOEXEC);
	if (store_open(root, &s, err) < 0)
		return -1;
	w.store = s;
	w.input_fd = fd;
	return load_archive(&w, err);
}

static void bad_found(void *arg, const char *text)
{
	printf("round %d: %s\n", *(int *)arg, text);
}

/* Killed anywhere in a load, the store verifies, the layout names only what is there, every image that is there has its name and its manifest,
 * and the next load completes. */
static void test_kill_load(void)
{
	struct scratch scratch;
	scratch_init(&scratch);
	for (int round = 0; round < 30; round++) {
		AUTO_STORE struct store *s = NULL;
		const struct work w = { .listener = &silent };
		struct work verified = w;
		struct verify_result r = {0};
		struct err err = {0};
		char mark[32];
		snprintf(mark, sizeof(mark), "load %d", round);
		AUTO_CLOSE int archive = make_image_archive(mark);
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			_exit(load_fd(scratch.fd, archive, NULL) < 0);
		usleep((useconds_t)(round * 811 % 25000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		NEED(store_open(scratch.fd, &s, &err) == 0);
		EXPECT(store_collect(s, 0, NULL, &err) == 0, "round %d: %s", round, err.msg);
		verified.store = s;
		EXPECT(verify_store(&verified, false, bad_found, &round, &r, &err) == 0 && r.n_bad == 0, "round %d: %s", round, err.msg);
		EXPECT(r.n_blobs == 3 * r.n_images && n_in(scratch.fd, "images/oci/ingest") == 0, "round %d: %zu blobs, %zu images", round, r.n_blobs,
			r.n_images);
		EXPECT(load_fd(scratch.fd, archive, &err) == 0, "round %d: %s", round, err.msg);
		r = (struct verify_result){0};
		EXPECT(verify_store(&verified, false, bad_found, &round, &r, &err) == 0 && r.n_bad == 0, "round %d: %s", round, err.msg);
		EXPECT(r.n_blobs == 3 * r.n_images, "round %d, loaded: %zu blobs, %zu images", round, r.n_blobs, r.n_images);
	}
	scratch_done(&scratch);
}

/* On a full disk the import says so and leaves no byte; with room again it works. */
static void test_full_disk(void)
{
	AUTO_CLOSE int archive = make_archive(60, "full", 60000);
	int wstatus;
	pid_t pid;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct scratch scratch;
		struct err err = {0};
		scratch_init(&scratch);
		NEED(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
		NEED(mount("tmpfs", scratch.path, "tmpfs", 0, "size=2m,mode=0700") == 0);
		int root = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		EXPECT(import_fd(root, archive, "app", &err) < 0 && err.sys == ENOSPC, "%s", err.msg);
		EXPECT(n_in(root, "layers") == 0 && n_in(root, "images/config") == 0, "something stayed");
		NEED(mount(NULL, scratch.path, NULL, MS_REMOUNT, "size=20m") == 0);
		EXPECT(import_fd(root, archive, "app", &err) == 0 && check_store(root, 60) == 1, "%s", err.msg);
		close(root);
		NEED(umount2(scratch.path, MNT_DETACH) == 0);
		scratch_done(&scratch);
		fflush(stdout);
		_exit(failures != 0);
	}
	NEED(waitpid(pid, &wstatus, 0) == pid);
	EXPECT(wstatus == 0, "status %d", wstatus);
}

/* Four importers of two archives under two names, and a remover of both: nobody fails but for what is in the way by right. */
static void test_together(void)
{
	struct scratch scratch;
	int archives[2] = { make_archive(60, "one", 500), make_archive(60, "two", 500) }, wstatus, bad = 0;
	scratch_init(&scratch);
	fflush(stdout);
	for (int p = 0; p < 5; p++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < 8; i++) {
			AUTO_STORE struct store *s = NULL;
			struct store_removed removed = {0};
			struct err err = {0};
			if (p < 4 && import_fd(scratch.fd, archives[p % 2], p / 2 ? "a" : "b", &err) < 0) {
				printf("import: %s\n", err.msg);
				fflush(stdout);
				_exit(1);
			}
			if (p < 4)
				continue;
			NEED(store_open(scratch.fd, &s, &err) == 0);
			if (store_remove(s, i % 2 ? "a" : "b", false, NULL, NULL, &removed, &err) < 0 && err.code != ERR_NOT_FOUND)
				_exit(2);
			store_removed_done(&removed);
			usleep(2000);
		}
		_exit(0);
	}
	while (wait(&wstatus) > 0)
		bad += wstatus != 0;
	EXPECT(bad == 0, "%d of 5 failed", bad);
	EXPECT(check_store(scratch.fd, 60) <= 2, "more images than archives");
	close(archives[0]);
	close(archives[1]);
	scratch_done(&scratch);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("needs root: owners and a mount\n");
		return 77;
	}
	stream_prepare();
	test_kill();
	test_kill_load();
	test_full_disk();
	test_together();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
