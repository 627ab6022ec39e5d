/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of images/git*.c: git_wire.c (packets, refs, fetch), git_ssh.c (one transport), git_pack.c (objects), git_tree.c (files to an archive),
 * git_dir.c (.git for --keep-git-dir), git.c (all together). */
#ifndef IMAGES_GIT_IMPL_H
#define IMAGES_GIT_IMPL_H

#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "images/http.h"
#include "spec/giturl.h"

enum { GIT_HEX = 40, GIT_RAW = 20 };
enum { GIT_MAX_OBJECTS = 20000000, GIT_MAX_REFS = 100000, GIT_MAX_REF_BYTES = 64 << 20, GIT_MAX_DEPTH = 512, GIT_MAX_SUBMODULES = 500,
	GIT_MAX_ENTRIES = 10000000 };
#define GIT_MAX_OBJECT_BYTES (1ULL << 30)
#define GIT_MAX_HELD_BYTES (4ULL << 30) /* of objects on the way from a base to what is made of it */
#define GIT_MAX_MADE_BYTES (1ULL << 40) /* of objects that are made of deltas, over and over: what a processor does in a quarter of an hour */
#define GIT_MAX_RATIO 1000ULL           /* bytes of files for a byte that was received, above GIT_FREE_BYTES */
#define GIT_FREE_BYTES (256ULL << 20)

/* ---- git_wire.c ---- */
/* What remotes need to know of us. */
struct git_access {
	struct http *http;
	const char *authorization; /* for http and https at auth_host; NULL = none */
	const char *auth_origin;   /* scheme://host:port that it is for */
	const char *known_hosts;   /* text; "" = none */
	int agent_fd;              /* a connection to an ssh agent; -1 */
};

/* A connection in both directions. */
struct git_stream {
	void *arg;
	ssize_t (*read)(void *arg, void *buf, size_t n, struct err *err); /* 0: the end */
	int (*write)(void *arg, const void *buf, size_t n, struct err *err);
	void (*close)(void *arg);
};
int git_connect_tcp(const struct giturl *u, struct err *err); /* a connected socket, -1 + err */
int git_ssh_open(struct git_access *a, const struct giturl *u, struct git_stream *ret, struct err *err);
int git_ssh_prepare(struct err *err); /* before the jail */

struct git_ref {
	char *name;
	char oid[GIT_HEX + 1], peeled[GIT_HEX + 1]; /* peeled: of an annotated tag, "" */
	char *target;                               /* of HEAD: the branch; NULL */
};
struct git_refs {
	struct git_ref *v;
	size_t n, cap, bytes; /* bytes: of all names and targets */
};
void git_refs_done(struct git_refs *r);

struct git_remote;
/* Connects and reads what the server can do. 0 or -1 + err. */
int git_remote_open(struct git_access *a, const struct giturl *u, struct git_remote **ret, struct err *err);
struct git_remote *git_remote_close(struct git_remote *r); /* takes NULL */
/* The refs whose names begin with one of these. 0 or -1 + err. */
int git_remote_refs(struct git_remote *r, const char *const *prefixes, size_t n, struct git_refs *ret, struct err *err);
/* The commit, without its parents when the server knows how, as a pack at the end of fd, of at most max_bytes. 0 or -1 + err. */
int git_remote_fetch(struct git_remote *r, const char *commit, int fd, uint64_t max_bytes, struct err *err);

/* ---- git_pack.c ---- */

enum git_type { GIT_COMMIT = 1, GIT_TREE = 2, GIT_BLOB = 3, GIT_TAG = 4, GIT_OFS_DELTA = 6, GIT_REF_DELTA = 7 };

struct git_object {
	unsigned char oid[GIT_RAW];
	uint64_t offset;      /* in the pack */
	uint32_t crc;         /* of its bytes there */
	uint8_t type;         /* as stored */
	uint8_t real;         /* of the object; 0 = not known yet */
	uint8_t header;       /* bytes before what is compressed */
	uint64_t size;        /* as stored: of a delta its own */
	uint64_t base;        /* offset of an OFS_DELTA's */
};

struct git_pack {
	const unsigned char *p; /* the mapped file */
	size_t len;
	uint64_t at;            /* where it begins in the file */
	struct git_object *objects; /* in the order of the pack */
	size_t n;
	uint32_t *sorted;       /* by oid, each one once */
	size_t n_sorted;
	uint64_t made_bytes;    /* of deltas' results, so far */
};

/* Reads the pack that is in fd from `at` on to its end: every object is inflated, its name computed. max_held: bytes that objects which deltas stand
 * on may take in memory at once. 0 or -1 + err. */
int git_pack_open(int fd, uint64_t at, uint64_t max_held, struct git_pack *ret, struct err *err);
void git_pack_done(struct git_pack *p);
/* The object of that name; NULL: it is not there. */
const struct git_object *git_pack_find(const struct git_pack *p, const unsigned char oid[static GIT_RAW]);
/* Its content: free() it. 0 or -1 + err (ERR_CORRUPT: not there, or of another type than `type`). */
int git_pack_read(struct git_pack *p, const unsigned char oid[static GIT_RAW], enum git_type type, char **ret, size_t *ret_n, struct err *err);
void git_hex(const unsigned char oid[static GIT_RAW], char ret[static GIT_HEX + 1]);
int git_unhex(const char *hex, unsigned char ret[static GIT_RAW]);
void git_sha1(const char *type, const void *p, size_t n, unsigned char ret[static GIT_RAW]); /* type NULL: of the bytes alone */

/* ---- git_tree.c, git_dir.c ---- */

struct git_submodule {
	char *path, *out;         /* in the repository; in the archive */
	unsigned char oid[GIT_RAW];
	struct git_submodule *next;
};

/* An archive that is being written. */
struct git_archive {
	int fd;
	struct str head;          /* the buffer of headers */
	int64_t mtime_s;
	uint64_t bytes, max_bytes;
	size_t n, n_pointers, n_encoded; /* entries; files that git-lfs has put in place of others; that would have another encoding */
};
/* 0 or -1 + err. Paths are relative; of a directory without "/" at the end. */
int git_archive_add(struct git_archive *a, char type, const char *path, mode_t mode, const void *p, size_t n, struct err *err);
int git_archive_end(struct git_archive *a, struct err *err);

struct git_index_entry {
	char *path;
	unsigned char oid[GIT_RAW];
	uint32_t mode;
	uint32_t size;
};

struct git_checkout {
	struct git_pack *pack;
	struct git_archive *archive;
	const char *prefix;       /* "" or "sub/": where the repository is in the archive */
	unsigned char tree[GIT_RAW]; /* of the commit */
	int64_t time_s;
	struct git_submodule *submodules, **next;
	char *gitmodules;         /* its text, when it is a file */
	struct git_index_entry *index; /* when keep */
	size_t n_index, cap_index;
	bool keep;
	struct git_attr *attrs;   /* of the directory that is being written, and above */
};
/* Finds the commit's tree and time. 0 or -1 + err. */
int git_checkout_open(struct git_checkout *c, const char *commit, struct err *err);
/* Writes what is below subdir ("" = all). 0 or -1 + err (ERR_NOT_FOUND: no such directory). */
int git_checkout_write(struct git_checkout *c, const char *subdir, struct err *err);
void git_checkout_done(struct git_checkout *c);
/* Writes the .git directory of the repository: HEAD, config, the ref, the pack and its index, the index of the work tree. ref: "refs/…" that was asked
 * for, "" = none; want: what it points at, the commit or an annotated tag that is in the pack. 0 or -1 + err. */
int git_dir_write(struct git_checkout *c, const char *commit, const char *ref, const char *want, const char *remote, struct err *err);

#endif
