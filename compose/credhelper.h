/* SPDX-License-Identifier: Apache-2.0 */
/* Credential helpers, docker's protocol: `docker-credential-NAME get|store|erase|list` from an absolute folder of PATH, with the request
 * on standard input and the answer on standard output; what it says on standard error is not shown, nor is an answer that holds an account. Ten
 * seconds each. They run as the user runs muster, outside any jail. */
#ifndef COMPOSE_CREDHELPER_H
#define COMPOSE_CREDHELPER_H

#include "images/authfile.h"

/* The account that the helper (a name of authfile_helper(), checked here) keeps for this registry. 0; 1 when it keeps none; -1 + err: it is not there, says
 * that something went wrong, or answers what is none. */
int credhelper_get(const char *helper, const char *registry, struct account *ret, struct err *err);
/* 0 or -1 + err. */
int credhelper_store(const char *helper, const char *registry, const char *username, const char *password, struct err *err);
/* Forgets whatever it keeps for this registry. 0; 1 when there was nothing; -1 + err. */
int credhelper_erase(const char *helper, const char *registry, struct err *err);

#endif
