/* SPDX-License-Identifier: Apache-2.0 */
/* An agent for the key files of a build (--ssh ID=FILE): a process that has the keys, a socket that it listens on, and nothing else. */
#ifndef IMAGES_SSHAGENT_H
#define IMAGES_SSHAGENT_H

#include "base/err.h"

/* Reads {"keys":[{"name","text"}…]} from conf_fd, reads the keys, enters its jail, and calls ready(). Then answers the two questions of the agent
 * protocol that only use keys (which are there, sign this) on listen_fd until it is ended. -1 + err, which names the file: a key cannot be used. */
int sshagent_run(int conf_fd, int listen_fd, void (*ready)(void), struct err *err);

#endif
