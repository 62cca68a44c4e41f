/*
 * The live page's files, as `./dev web` has made them and web/embed.py has written them into the program, and what of them a
 * request is answered with. Pure but for answer_page().
 */
#ifndef WEIR_CONTROL_PAGE_H
#define WEIR_CONTROL_PAGE_H

#include "base/view.h"

struct page_file {
	struct view name;
	const char *type;
	const char *tag;           /* of its content */
	struct view plain, packed; /* as it is, and as gzip */
};

/* All of them, and behind them one without a name. Only that one: the program was built without the page. */
extern const struct page_file page_files[];

/* What a request says that matters here. */
struct page_wish {
	struct view path; /* canonical */
	bool takes_gzip;
	struct view known_tags; /* If-None-Match; empty: there is none */
};

struct page_reply {
	unsigned status;
	struct view content; /* of 304: what 200 would have had */
	char fields[768];    /* whole lines */
};

/* 200, 304, or 404: the page is not there, and `content` says what to do about it. */
void page_reply(struct page_reply *reply, const struct page_file *files, const struct page_wish *wish);

/* Whether a value of Accept-Encoding allows gzip (RFC 9110 §12.5.3). */
bool page_takes_gzip(struct view accept_encoding);

#endif
