/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: a container's short id, which is its host name, is never one that a resolver takes for a number (one in 281 random ones would be). */
#include "compose/state.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
	char id[65];
	for (int i = 0; i < 5000; i++) {
		record_new_id(id);
		if (strlen(id) != 64 || strspn(id, "0123456789abcdef") != 64 || strspn(id, "0123456789") >= SHORT_ID) {
			fprintf(stderr, "%s\n", id);
			return 1;
		}
	}
	return 0;
}
