/* SPDX-License-Identifier: Apache-2.0 */
/* What `muster config` prints: the canonical model as YAML and JSON, and the lists of names. Pure functions of a load
 * result. Key order and quoting are the reference's: fields of the model in a fixed order, free maps sorted, `$` written
 * as `$$` so that the text reads back to itself. Models that were loaded with no_interpolate keep their `$`. */
#ifndef SPEC_CANON_H
#define SPEC_CANON_H

#include "spec/load.h"

/* Appends the model as indented JSON (2 spaces, no final line end) or as YAML (with one). 0, or -1 + err (ERR_UNSUPPORTED) for a model that
 * the format cannot say: build.ssh with a path has no JSON form. */
int canon_json(const struct load_result *r, struct str *ret, struct err *err);
int canon_yaml(const struct load_result *r, struct str *ret, struct err *err);

/* Names, sorted; --services, --volumes, --networks, --models, --profiles. Services: those that it depends on come first, as the
 * reference prints them. */
void canon_services(const struct load_result *r, struct strv *ret);
void canon_volumes(const struct load_result *r, struct strv *ret);
void canon_networks(const struct load_result *r, struct strv *ret);
void canon_models(const struct load_result *r, struct strv *ret);
void canon_profiles(const struct load_result *r, struct strv *ret);
/* --images: the image of each service, in order of name, `<project>-<service>` for one that is only built; after it those of its pre_start hooks
 * that differ. */
void canon_images(const struct load_result *r, struct strv *ret);
/* --environment: "K=V", sorted. */
void canon_environment(const struct load_result *r, struct strv *ret);
/* --hash: "service digest" for the services in `which` (NULL or empty: all). 64 hexadecimal digits over the service's canonical form without
 * what may change in place (replicas, scale, build, profiles, depends_on, pull_policy). -1 + err (ERR_NOT_FOUND) for an unknown one. */
int canon_hash(const struct load_result *r, const char *const *which, struct strv *ret, struct err *err);
/* --variables: the table NAME, REQUIRED, DEFAULT VALUE, ALTERNATE VALUE; or an object (new reference) of {Name, DefaultValue, PresenceValue,
 * Required} by name, in YAML's lower case. Empty unless the model was loaded with no_interpolate. */
void canon_variables(const struct load_result *r, struct str *ret);
json_t *canon_variables_json(const struct load_result *r, bool yaml);

#endif
