/* SPDX-License-Identifier: Apache-2.0 */
/* An image as the rest of muster sees it: the OCI image configuration, read into plain fields, and where its layers are. The
 * configuration's bytes are kept as they came (the image id is their SHA-256); this struct is only a view of them. What comes
 * from a foreign archive passes image_config_parse() before anything is stored, so a configuration in the store always parses.
 * Field names are those of the OCI image specification, https://github.com/opencontainers/image-spec/blob/main/config.md */
#ifndef IMAGES_CONFIG_H
#define IMAGES_CONFIG_H

#include "base/json.h"

enum {
	IMAGE_MAX_LAYERS = 127,             /* docker's bound; overlayfs takes 500 lower layers */
	IMAGE_MAX_CONFIG_BYTES = 8 << 20,
};

struct image {
	char id[65];               /* SHA-256 of the configuration, 64 lower-case digits without "sha256:" */
	struct strv refs;          /* canonical references, sorted ("docker.io/library/busybox:latest"); empty: no name */
	struct strv digests;       /* "docker.io/library/busybox@sha256:…": what it was pulled as, sorted */
	struct strv diff_ids;      /* layers, bottom to top, 64 digits without "sha256:" */
	struct strv entrypoint;
	struct strv cmd;
	struct strv env;           /* KEY=value */
	struct strv exposed_ports; /* "80/tcp", sorted */
	struct strv volumes;       /* absolute paths in the image, sorted */
	struct strv label_keys;    /* sorted; label_values[i] belongs to label_keys[i] */
	struct strv label_values;
	char *user;                /* "" when unset; these strings are never NULL */
	char *working_dir;         /* "" when unset */
	char *stop_signal;         /* "" when unset */
	char *os, *architecture, *variant;
	char *created;             /* RFC 3339, "" when unset */
	uint64_t size_bytes;       /* unpacked size of the regular files of all layers; 0 before the image is in the store */
	json_t *json;              /* the whole configuration document, owned: for what has no field here (Healthcheck, history) */
};

/* Reads the configuration text[0..n) into *ret (zeroed before; image_done() it). Hostile input: every field's type is checked,
 * list lengths and sizes are capped. Fills everything but refs and size_bytes. Returns 0, or -1 + ERR_INVALID (also: os is not
 * linux -> ERR_UNSUPPORTED). */
int image_config_parse(const char *text, size_t n, struct image *ret, struct err *err);

/* A fresh configuration document for one root file system layer: new reference. diff_id: 64 digits; created: RFC 3339; comment
 * may be NULL. */
json_t *image_config_new(const char *diff_id, const char *created, const char *comment);

/* Applies one `--change` instruction, "CMD ["a","b"]" or "CMD a b": CMD ENTRYPOINT ENV EXPOSE LABEL STOPSIGNAL USER VOLUME
 * WORKDIR (any case), in JSON or shell form, as docker import does. Returns 0, or -1 + ERR_INVALID / ERR_UNSUPPORTED (another
 * instruction). */
int image_config_change(json_t *config, const char *instruction, struct err *err);

/* The architecture of this machine in Go's words: "amd64", "arm64". Static. */
const char *image_config_host_arch(void);
/* "linux/ARCH[/VARIANT]" as containerd writes it, with the names that Go has; "ARCH" and "local" will do. free() it; NULL: it is none. */
char *image_config_platform(const char *text);

/* Frees what it holds and empties it; takes a zeroed one; may be called twice. */
void image_done(struct image *img);
#define AUTO_IMAGE CLEANUP(image_done)

#endif
