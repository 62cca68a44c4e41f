/*
 * Host names as the main thread sees them: which addresses are in force, and what the operator is told of them.
 *
 *     as loaded --names_follow--> resolver --(changes: process_tell)--> names_look --> names_expand --> a generation
 */
#ifndef WEIR_APP_NAMES_H
#define WEIR_APP_NAMES_H

#include "app/reload_words.h"
#include "net/resolver.h"

struct names {
	struct reload_teller to;             /* set by the owner, all else zero */
	struct resolver *resolver;           /* NULL: no name is followed */
	struct resolver_answers *answers;    /* in force; NULL: none */
	unsigned told;                       /* lines at the look that is under way */
};

/*
 * Follows the host names of `config`, as it was loaded, and waits a short time until each was asked for once; then what is
 * known is in force, and told. False with error_text: no memory, no thread, and what was followed before is still.
 */
bool names_follow(struct names *names, const struct config *config, char error_text[256]);

/* What is known now is in force, and told. True: the addresses of a name are others than they were. */
bool names_look(struct names *names);

/* `config`, as it was loaded, with the addresses in force. NULL: out of memory. */
const struct config *names_expand(const struct names *names, const struct config *config);

/* Nothing is followed any more. */
void names_release(struct names *names);

#endif
