/* SPDX-License-Identifier: Apache-2.0 */
/* What muster and the builder (muster-image build) say to each other: messages of images/build/message.h over a SOCK_SEQPACKET pair. The builder
 * is started with descriptors 2 = standard error, 3 = the state root, 4 = the failpoints' control file or nothing, BUILD_FD_CLI,
 * BUILD_FD_EXECUTOR, and nothing else. It takes the first message before it enters its jail, everything that strangers wrote after that.
 * The jail (images/build/confine_build.h): an own mount namespace whose read-only root holds the folders images, layers and buildcache of the
 * state root and read-only clones of the context directories; seccomp without mount, exec, fork, sockets; no capability but those that give
 * files owners, modes, device numbers. (Landlock denies access through mounts that are not below its rules' directories, so rules are added
 * after the clones are in place.) */
#ifndef IMAGES_BUILD_CHANNEL_H
#define IMAGES_BUILD_CHANNEL_H

#include "images/build/message.h"

/* muster to builder, first:
 *   {"op":"build",...}; descriptors: those that "fd" numbers name (0 = the first one)
 *     "contexts":[{"name":"",...}…]  "" is the build context; others are --build-context / additional_contexts
 *        "kind":"directory","fd":N           a descriptor of the directory (readable)
 *        "kind":"tar","fd":N                 a tar archive, any compression: unpacked by the builder
 *        "kind":"image","ref":REF            docker-image://REF
 *        "kind":"image","id":64 digits       an image in the store: what `service:` and `target:` have built before
 *        "kind":"git","url":URL        a repository (spec/giturl.h), fetched when it is used
 *        "kind":"url","url":URL              a directory with the one file that is there
 *        "kind":"empty"                      no context: a Dockerfile from standard input
 *     "dockerfile":{"fd":N,"name":TEXT}      its text (a regular file or memfd) and its name in messages; or
 *     "dockerfile":{"path":PATH,"name":TEXT} in the build context (tar)
 *     "ignore":{"fd":N,"name":TEXT}          absent: <path>.dockerignore of a path as above, else .dockerignore of the build context
 *     "check":"text"|"json"                  absent, or: only check it; answered by "check"
 *     "target":STAGE or "", "platform":"linux/arm64" or "" (this machine's)
 *     "build_args":["K=V"…] in order; a name without "=" has been looked up in the environment by muster, or left out
 *     "labels":{K:V}, "tags":[familiar or canonical references]
 *     "no_cache":BOOL, "no_cache_filter":[STAGE…], "pull":BOOL
 *     "network":"default"|"none"|"host"      of RUNs that have no flag
 *     "insecure":BOOL, "host_network":BOOL   what RUNs may have; the executor holds them to it, the builder also those that the cache answers
 *     "run":{…}                              goes to the executor as "options" of each step, and into its cache key, but for members whose
 *                                            name begins with "_": those go to the executor alone
 *     "cache_from":[{"type":"local","name","fd":N or "missing":why not,"tag","digest"}|{"type":"registry","name","ref"}…]
 *     "cache_to":[{"type":"local","dest":number of a directory that muster keeps,"tag"}|{"type":"registry","ref"}…], each with "name", "mode",
 *     "compression", "level", "image_manifest", "oci", "ignore_error"; "inline_cache":BOOL
 *     "secrets":[ID…]                        those that there are: nothing but the names
 *     "export":{"kind":"store"}              more kinds may come
 *   {"op":"cancel"}                          stop; "error" follows
 *   {"op":"reply","id":N,...}                to a "need": its fields, or "error":ERR
 *
 * Builder to muster:
 *   {"event":"step","id":N,"state":S,...}    a step; ids are those of the executor's, numbered from 1
 *     S: "started" | "cached" | "done" | "error" | "cancelled" (each step: "started" first but for "cached")
 *     with "started" and "cached": "stage":NAME or "", "index":I,"total":N of the stage's steps ("[build 2/5]"; FROM counts; total 0: no such
 *     marks, "text" says all: "[internal] load .dockerignore"), "text":"RUN make", "first_line","last_line" of the Dockerfile
 *   {"event":"progress","id":N,"done":BYTES,"total":BYTES}    of a step that copies or waits for bytes
 *   {"event":"warning","text":TEXT[,"line":L]}
 *   {"event":"check","text":TEXT,"json":{…},"failed":BOOL}
 *   {"event":"done","id":64 digits,"new":BOOL,"tags":[…]}     the last one, or:
 *   {"event":"error","error":ERR[,"diagnostics":TEXT][,"step":ID,"exit_code":C,"first_line":L,"last_line":L,"excerpt":TEXT,"name":FILE]}
 *     diagnostics: the text to show instead of the error's message, several lines, rendered; exit_code: the step ran and failed; excerpt: the
 *     lines of the Dockerfile around it, as BuildKit shows them
 *   {"need":"image","id":N,"ref":REF,"platform":P,"pull":BOOL,"step":ID}        → {"image":64 digits}
 *   {"need":"fetch","id":N,"url":URL,"step":ID,"max_bytes":M}, descriptor: where the bytes go → {"size":BYTES,"name":from Content-Disposition or
 *     "","modified":seconds or 0,"etag":TEXT}
 *   {"need":"registry","id":N,"ref":REF,"push":BOOL} → {} and LANE_MAX_LANES descriptors: lanes (images/lane.h) to its repository
 *   {"need":"cache_file","id":N,"dest":D,"name":N of an OCI layout,"size":BYTES}, descriptor: its bytes, or none: is it there? → {"exists":BOOL}
 *   {"need":"cache_index","id":N,"dest":D,"tag":T,"descriptor":{…}}: an entry of its index.json → {}
 *   {"need":"git","id":N,"url":URL,"checksum":DIGITS or "","resolve":BOOL,"commit":DIGITS,"keep_dir":BOOL,"submodules":BOOL,"step":ID,
 *     "max_bytes":M}, descriptors unless "resolve": where a tar archive of the files goes, an empty file for what is received
 *     → {"commit":DIGITS} */
enum {
	BUILD_FD_CLI = 5,      /* SOCK_SEQPACKET, one end */
	BUILD_FD_EXECUTOR = 6, /* SOCK_SEQPACKET, the executor has the other end */
	BUILD_MAX_CONTEXTS = 32,
	BUILD_MAX_STAGES = 200,
	BUILD_MAX_TAGS = 64,
};

#endif
