/* SPDX-License-Identifier: Apache-2.0 */
/* Git repositories as build contexts and as sources of ADD: one commit of a remote repository becomes an archive of its files. This is the whole
 * client: protocol version 2 over http, https, git and ssh, one commit deep, without a work tree, without a configuration, without hooks, filters or
 * programs; of what a repository says about itself, line ends and $Id$ of .gitattributes and path and URL of .gitmodules have an effect. It runs in
 * a process of its own behind the fence of the network processes (images/confine.h): sockets, two unnamed files, nothing else.
 * Names that would reach a .git directory, "." and "..", twice the same name and unknown modes end it, as they end git (CVE-2014-9390,
 * CVE-2018-11235, CVE-2019-1387, CVE-2024-32002: no directory is ever written here, and the archive is unpacked inside its root by
 * images/layer.h). No filter (git-lfs) is run, no encoding changed; SHA-256 repositories are refused. */
#ifndef IMAGES_GIT_H
#define IMAGES_GIT_H

#include "base/json.h"

/* Reads from conf_fd {"url": as spec/giturl.h, "checksum": instead of the URL's when not "", "commit": what was found out before, "",
 * "keep_dir": BOOL, "submodules": BOOL, "resolve": BOOL, "endpoints": [one, as for images/download.h], "authorization": header for http(s) at the
 * URL's host, "max_bytes", "known_hosts": TEXT}. agent_fd: a connection to an ssh agent, or -1. Enters the fence. Then either only finds out which
 * commit is meant ("resolve"), or gets it (spool_fd: an empty file for what is received) and writes its files as a tar archive to out_fd.
 * *ret (new reference): {"commit": 40 digits, "lfs_pointers": how many of the files are git-lfs's pointers, "encoded": and are to be in another
 * encoding}. 0; -1 + err: ERR_NOT_FOUND (repository, ref, subdirectory), ERR_DENIED, ERR_CORRUPT, … */
int git_run(int conf_fd, int out_fd, int spool_fd, int agent_fd, json_t **ret, struct err *err);

#endif
