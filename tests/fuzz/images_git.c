/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a pack (its checksum is put right, so that it does not end there): every object that is found has the content that its name says, and
 * each commit in it is checked out, with its .git directory, into the void. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "images/git_impl.h"

static void check_objects(struct git_pack *k)
{
	static const char *const types[] = { [GIT_COMMIT] = "commit", [GIT_TREE] = "tree", [GIT_BLOB] = "blob", [GIT_TAG] = "tag" };
	for (size_t i = 0; i < k->n_sorted; i++) {
		const struct git_object *o = &k->objects[k->sorted[i]];
		unsigned char name[GIT_RAW];
		AUTO_FREE char *bytes = NULL;
		size_t n;
		if (git_pack_read(k, o->oid, o->real, &bytes, &n, NULL) < 0)
			continue; /* of names that are there twice a chain may lead round and round */
		git_sha1(types[o->real], bytes, n, name);
		if (memcmp(name, o->oid, sizeof(name)) != 0)
			abort();
	}
}

static void check_out(struct git_pack *k, const struct git_object *o)
{
	struct git_archive a = { .fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .max_bytes = 16 << 20 };
	struct git_checkout c = { .pack = k, .archive = &a, .prefix = "p/", .keep = true };
	char hex[GIT_HEX + 1];
	git_hex(o->oid, hex);
	if (git_checkout_open(&c, hex, NULL) == 0 && git_checkout_write(&c, "", NULL) == 0)
		git_dir_write(&c, hex, "refs/heads/main", hex, "https://example.test/r.git", NULL);
	git_archive_end(&a, NULL);
	git_checkout_done(&c);
	close(a.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CLOSE int fd = memfd_create("pack", MFD_CLOEXEC);
	unsigned char sum[GIT_RAW];
	struct git_pack k;
	struct err err = {0};
	git_sha1(NULL, data, size, sum);
	if (fs_write_all(fd, data, size, &err) < 0 || fs_write_all(fd, sum, sizeof(sum), &err) < 0)
		return 0;
	if (git_pack_open(fd, 0, 256 << 20, &k, &err) < 0) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	check_objects(&k);
	for (size_t i = 0; i < k.n; i++)
		if (k.objects[i].real == GIT_COMMIT)
			check_out(&k, &k.objects[i]);
	git_pack_done(&k);
	return 0;
}
