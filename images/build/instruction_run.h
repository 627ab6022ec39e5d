/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the typed instructions that RUN, CMD and ENTRYPOINT share, and RUN's flags: mounts, devices, network, security. */
#ifndef IMAGES_BUILD_INSTRUCTION_RUN_H
#define IMAGES_BUILD_INSTRUCTION_RUN_H

#include "images/build/dockerfile.h"

/* A list of strings; v ends with NULL (n does not count it). */
struct instruction_list {
	const char **v;
	size_t n;
};

/* A here-document of RUN: body as it stands (for chomped ones see instruction_script). */
struct instruction_file {
	const char *name, *data;
	bool chomp;
};

enum instruction_mount_type { MOUNT_BIND, MOUNT_CACHE, MOUNT_TMPFS, MOUNT_SECRET, MOUNT_SSH, MOUNT_TYPE_N_ };
enum instruction_sharing { SHARING_UNSET, SHARING_SHARED, SHARING_PRIVATE, SHARING_LOCKED, SHARING_N_ };
enum instruction_network { NETWORK_DEFAULT, NETWORK_NONE, NETWORK_HOST, NETWORK_N_ };

/* RUN --mount. Valid after instruction_expand; before it only `type` and `from` (they may not hold variables but for type). */
struct instruction_mount {
	enum instruction_mount_type type;
	enum instruction_sharing sharing; /* cache */
	const char *from;        /* bind, cache: stage, index, context or image; "" = the build context (bind), empty (cache) */
	const char *source, *target, *id;
	const char *env;         /* secret: the variable's name; "" = the secret's id (env= given empty); NULL = no variable */
	bool read_only;          /* the type's default is filled in */
	bool required;           /* secret, ssh */
	int64_t size_bytes;      /* tmpfs; 0 = not given */
	int64_t mode, uid, gid;  /* cache, secret, ssh; -1 = not given */
	struct pos pos;
};

struct instruction_device {
	const char *name;
	bool required;
};

/* RUN, CMD, ENTRYPOINT. */
struct instruction_command {
	struct instruction_list args;     /* JSON form: the strings; shell form: one, the text (none when it is empty) */
	bool shell;              /* shell form: SHELL goes in front */
	/* RUN only */
	struct instruction_file *files;   /* here-documents */
	size_t n_files;
	struct instruction_mount *mounts;
	size_t n_mounts;
	struct instruction_device *devices;
	size_t n_devices;
	enum instruction_network network;
	bool insecure;           /* --security=insecure */
};

/* What a RUN executes, here-documents resolved as BuildKit does. */
struct instruction_script {
	struct instruction_list args;     /* to exec, SHELL not in front yet; shell form: one text */
	bool shell;              /* SHELL goes in front */
	const char *file_name;   /* a here-document that begins with "#!": a file of this name, mode 0755, read-only, in /dev/pipes; else NULL */
	const char *file_data;
};
void instruction_script(struct arena *a, const struct instruction_command *run, struct instruction_script *ret);

/* "bind", "locked", "none". */
const char *instruction_mount_name(enum instruction_mount_type type);
const char *instruction_sharing_name(enum instruction_sharing sharing);
const char *instruction_network_name(enum instruction_network network);

#endif
