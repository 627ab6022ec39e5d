/* SPDX-License-Identifier: Apache-2.0 */
/* config --resolve-image-digests: the digests of images as far as this machine knows them without asking a registry. */
#ifndef COMPOSE_PIN_H
#define COMPOSE_PIN_H

#include "compose/project.h"

/* Writes REPOSITORY:TAG@sha256:DIGEST for the image of every service of p, of its pre_start hooks and of its image volumes (not for one
 * that is the name of a service), in its tree and in its config. A reference that has a digest keeps it. An image that is not in the
 * store, or has no digest there (nothing but a pull gives one), is a diagnostic at its place; all of them are printed.
 * lock: for pin_lock_file, which has no hooks: a warning says so. 0, or 1 after messages. */
int pin_images(struct app *app, struct project *p, bool lock);
/* An override file of nothing but services with their images and image volumes, as YAML or JSON. */
void pin_lock_file(const struct project *p, bool json, struct str *ret);

#endif
