/*
 * Whether the files that a configuration was made from say something else by now (`reload.watch`).
 *
 *     a directory tells --> settle: nothing further for so long --> content compared --> process_tell(), once
 *
 * A thread of its own waits for what the kernel tells of the directories in which the files stand, and of those that they lead to by
 * symbolic links: so a file that is replaced by renaming is seen, and a link that is turned elsewhere, as Kubernetes does it with a
 * ConfigMap. As not every file system tells, it looks every ten seconds all the same. It may hang in a file system that does not answer:
 * nobody waits for it. Only content counts: who writes the same again, or writes something else beside the files, changes nothing.
 */
#ifndef WEIR_APP_WATCHING_H
#define WEIR_APP_WATCHING_H

#include "config/model.h"

struct watching;

/*
 * The file at `path`, whose content `config` was made from, and the files that it names. NULL: no thread, no memory, or the kernel has
 * no more watches to give; errno says why.
 */
struct watching *watching_begin(const char *path, const struct config *config);

/* Another configuration was loaded, which may name other files. False: no memory, and those of the one before are watched. */
bool watching_follow(struct watching *watching, const struct config *config);

/* True once for each time that they have changed. */
bool watching_take(struct watching *watching);

/* The thread ends as soon as it can, and is not waited for. NULL is allowed. */
void watching_end(struct watching *watching);

#endif
