/* SPDX-License-Identifier: Apache-2.0 */
/* The corpus of the fuzz target images_git_attr, replayed: what a fuzzer found once never comes back. Run in the project's folder.
 * It also is what tests/fuzz/coverage measures: the share of each module's lines that the corpus reaches. */
#include "tests/fuzz/images_git_attr.c"

#define REPLAY "images_git_attr"
#include "tests/unit/spec_replay.h"
