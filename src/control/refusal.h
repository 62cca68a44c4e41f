/*
 * Why the administration refuses a request before any resource sees it: it is counted, as it may be an attack.
 */
#ifndef WEIR_CONTROL_REFUSAL_H
#define WEIR_CONTROL_REFUSAL_H

enum admin_refusal {
	ADMIN_NO_TOKEN,       /* none, or another one */
	ADMIN_FOREIGN_HOST,   /* a name that is none of ours */
	ADMIN_FOREIGN_PAGE,   /* a page of another site has made a browser ask */
	ADMIN_NO_JSON,        /* what changes something has a Content-Type that a form can send */
	ADMIN_TOO_MANY,       /* connections */
	ADMIN_TOO_MUCH,       /* of answers that clients do not take */
	ADMIN_REFUSALS,
};

#endif
