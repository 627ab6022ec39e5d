/* SPDX-License-Identifier: Apache-2.0 */
/* What the builder (muster-image build: parses, copies, keeps the cache, never mounts, never runs anything) asks of the executor (muster-run
 * build: mounts overlays, runs commands as containers). Messages of images/build/message.h over a SOCK_SEQPACKET pair; no descriptors go along.
 * Many steps may run at once. COPY, ADD and WORKDIR need no executor: the builder writes layer directories itself, so a build without RUN, or
 * one that the cache answers, never starts one: muster starts it when its end of the pair becomes readable.
 *
 * Layers are named, never passed: NAME is a directory of layers/ below the state root, 64 lower-case hexadecimal digits (a layer of the
 * store) or ".tmp-" and 16 of them (of this build, its flock is the builder's); NAME/diff is the layer in overlayfs form. Nothing else is a
 * name. The builder renames a layer of the first kind from one of the second only while no step waits for its "opened". */
#ifndef IMAGES_BUILD_EXECUTOR_H
#define IMAGES_BUILD_EXECUTOR_H

#include "images/build/message.h"

/* Builder to executor:
 *   {"op":"run","id":N,...}     one step; id is the caller's, unique in the build
 *     "layers":[NAME…]          lower directories, bottom to top; may be empty (FROM scratch): then an empty directory is the lower one
 *     "upper":NAME              NAME/diff gets the changes, NAME/work is there for the overlay and empty
 *     "argv":[…]                SHELL is in front already; at least one
 *     "env":["K=V"…]            complete: what the image and the Dockerfile set, PATH when nobody does, HOME is the executor's to add
 *     "cwd":PATH                absolute; the builder has made it when it was missing
 *     "user":TEXT               USER as it stands ("", "name", "1:2"); looked up in the image
 *     "platform":"linux/amd64"  of the stage
 *     "network":"default"|"none"|"host"
 *     "insecure":BOOL           RUN --security=insecure; executor and CLI decide whether it may
 *     "devices":[{"name","required"}]
 *     "file":{"name","data"}    absent, or the here-document that is run: a read-only file, 0755, in /dev/pipes
 *     "mounts":[MOUNT…]         in order
 *     "options":{…}             what muster put into "run" of the build's request, as it came: extra_hosts, ulimits, shm_size, limits…
 *   {"op":"cancel","id":N}      kill it; "done" still comes
 * MOUNT: {"type":T,"target":absolute,"read_only":BOOL,...} (no target: secret with "env", or the executor's default place)
 *   bind:   "layers":[NAME…], "source":PATH in their merged view, resolved as after a chroot; writes go to a throw-away upper. The build
 *           context never comes here as such: the builder puts what .dockerignore leaves of it into a layer first
 *   cache:  "key": 64 digits, the directory below buildcache/mounts; "sharing":"shared"|"private"|"locked"; "mode","uid","gid" (-1: not
 *           given: 0755, 0, 0); "layers","source": absent, or what a new one is filled from
 *   tmpfs:  "size_bytes" (0: not given)
 *   secret: "id"; "target" ("" or absent: none, only the variable); "env": absent, or the variable's name; "mode","uid","gid","required"
 *   ssh:    "id","mode","uid","gid","required"; "target" ("": the default, then SSH_AUTH_SOCK is set)
 *
 * Executor to builder:
 *   {"event":"opened","id":N}   all directories of the step are open; sent before anything that may wait (a locked cache, a slot to run in)
 *   {"event":"done","id":N,"exit_code":C}            it ran and ended; 128 + signal
 *   {"event":"done","id":N,"error":ERR}              it could not be run (images/build/message.h); "cancelled":true after a cancel
 *     When this is sent, no process of the step is left, the overlay is gone, and NAME/diff holds the layer: the mount points that had to be
 *     made are removed when they are still empty and the same inodes. (The builder removes NAME/work.)
 * What a step writes to stdout and stderr goes from the executor to muster directly, with the step's id, and before "done"; the builder sees
 * none of it, nor any secret. The end of the pair, on either side, is the end of the build: the executor kills what runs and ends. */
enum {
	EXECUTOR_MAX_LAYERS = 127,
	EXECUTOR_MAX_MOUNTS = 64,
	EXECUTOR_MAX_ARGS = 4096,  /* argv, env: each; together below MESSAGE_MAX_BYTES */
	EXECUTOR_MAX_STEPS = 64,   /* at once */
};

/* Is this a name of a layer's directory, as above? */
bool executor_is_layer_name(const char *name);

#endif
