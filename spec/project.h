/* SPDX-License-Identifier: Apache-2.0 */
/* The steps on a whole project after its files were joined: normalisation on the canonical form, then, on the typed form,
 * profiles, consistency, selection, pruning and the environment of containers. Private to the loader. */
#ifndef SPEC_PROJECT_H
#define SPEC_PROJECT_H

#include "spec/compose_file.h"

/* Implicit parts of the model: the default network, dependencies from links and namespaces, resource names, environment without values. */
void project_normalize(struct node *doc, const char *name, const struct env *env, struct diags *ds);
/* For each set of files, with its own variables: values for environment entries that are bare names. */
void project_resolve_environment(struct node *doc, const struct env *env, struct diags *ds);

/* Splits services into active (left in doc) and disabled (moved to *ret_disabled, a map). Named services activate their profiles.
 * profiles may hold "*"; *ret_profiles gets those that are active in the end. */
void project_apply_profiles(struct node *doc, const struct strv *profiles, const char *const *services, struct arena *a,
	struct node **ret_disabled, struct strv *ret_profiles);
/* Section 2.8's checks over active services. 0, or -1 with errors. */
int project_check(const struct node *doc, const struct node *disabled, struct diags *ds);
/* Keeps the named services (patterns as in shells) and, unless no_deps, what they depend on. 0, or -1 with errors. */
int project_select(struct node *doc, const char *const *services, bool no_deps, const struct node *disabled, struct diags *ds);
/* Drops networks, volumes, secrets, configs and models that no active service uses. */
void project_prune(struct node *doc);
/* env_file and label_file of every service into environment and labels. 0, or -1 with errors. */
int project_load_env_files(struct file_loader *fl, struct node *doc, const struct env *env);
int project_load_label_files(struct file_loader *fl, struct node *doc);

#endif
