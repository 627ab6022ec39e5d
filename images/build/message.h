/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON object per packet, between the three processes of a build (images/build/channel.h, images/build/executor.h). A packet is a byte that
 * says where the text is and then the text: 'J' + text, or 'M' alone with a memfd as its first descriptor, for what is longer than a packet.
 * Descriptors of the message itself follow. The receiver distrusts what it gets: types are checked where fields are read. */
#ifndef IMAGES_BUILD_MESSAGE_H
#define IMAGES_BUILD_MESSAGE_H

#include "base/chan.h"
#include "base/json.h"

enum {
	MESSAGE_MAX_BYTES = 16 << 20,
	MESSAGE_MAX_INLINE = 7168,
	MESSAGE_MAX_FDS = SOCK_MAX_FDS - 1, /* of the message itself */
};

/* Sends j (borrowed) without blocking; see chan_send(). Returns 0; 1 when the channel is closed; -1 + err. */
int message_send(struct chan *c, const json_t *j, const int *fds, size_t n_fds, struct err *err);
/* Sends j (borrowed) and waits until the kernel has taken it. For a blocking descriptor. 0; 1 when the peer is gone; -1 + err. */
int message_send_blocking(int fd, const json_t *j, const int *fds, size_t n_fds, struct err *err);
/* What a chan's handler got: *ret is a new reference to an object. *ret_fds and *ret_n_fds: the descriptors of the message itself, a part of
 * fds[], still the channel's: TAKE_FD() what stays. 0 or -1 + err. */
int message_parse(const void *p, size_t n, int *fds, size_t n_fds, json_t **ret, int **ret_fds, size_t *ret_n_fds, struct err *err);
/* Waits for the next message. fds[] has room for SOCK_MAX_FDS; the caller owns the *ret_n_fds that are in it. 0; 1 at the end; -1 + err. */
int message_recv_blocking(int fd, json_t **ret, int *fds, size_t *ret_n_fds, struct err *err);

/* {"code":…,"errno":…,"message":…}: an error as a message holds it, and back (anything odd becomes ERR_CORRUPT). New reference. */
json_t *message_from_err(const struct err *err);
int message_to_err(const json_t *j, struct err *err); /* always -1 */

#endif
