/*
 * GET / and what belongs to it. The page may load nothing from elsewhere, run nothing that does not stand in its own files, and
 * be shown inside nobody else's: what it shows is the gateway's inside.
 *
 * A browser keeps the files and asks each time whether they are still the same: after an upgrade of the gateway they may not be.
 */
#include "control/page.h"

#include <stdio.h>

#include "control/state.h"

#define PAGE_POLICY \
	"Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n" \
	"X-Frame-Options: DENY\r\n" \
	"Referrer-Policy: no-referrer\r\n"

static const char not_built[] =
	"This weir was built without its live page.\n"
	"\n"
	"To have it, run ./dev build where Node.js and npm are and npm's registry can be reached (./dev web installs\n"
	"them on Debian), and start what that has built. Everything else is there without it:\n"
	"\n"
	"    weir why    what the bottleneck is\n"
	"    weir top    what the page shows, in a terminal\n"
	"    /metrics    everything that is counted\n"
	"    /v1         what else there is\n";

/* "q=0", "q=0.000" */
static bool is_refused(struct view weight)
{
	weight = view_trim(weight);
	if (!view_starts(weight, VIEW("q=0")) && !view_starts(weight, VIEW("Q=0")))
		return false;
	for (size_t i = 3; i < weight.n; i++)
		if (weight.p[i] != '.' && weight.p[i] != '0')
			return false;
	return true;
}

bool page_takes_gzip(struct view accept_encoding)
{
	struct view element;
	bool any = false;

	while (view_next_element(&accept_encoding, &element)) {
		const char *semicolon = element.n > 0 ? memchr(element.p, ';', element.n) : NULL;
		size_t n = semicolon != NULL ? (size_t)(semicolon - element.p) : element.n;
		struct view coding = view_trim(view_of(element.p, n));
		bool taken = semicolon == NULL || !is_refused(view_from(element, n + 1));

		if (view_eq_nocase(coding, VIEW("gzip")))
			return taken;
		if (view_eq(coding, VIEW("*")))
			any = taken;
	}
	return any;
}

/* RFC 9110 §13.1.2: the weak comparison. */
static bool is_known(struct view known_tags, const char *tag)
{
	struct view element;

	while (view_next_element(&known_tags, &element)) {
		if (view_eq(element, VIEW("*")))
			return true;
		if (view_starts(element, VIEW("W/")))
			element = view_from(element, 2);
		if (element.n >= 2 && view_eq(view_of(element.p + 1, element.n - 2), view_str(tag)))
			return true;
	}
	return false;
}

static const struct page_file *file_find(const struct page_file *files, struct view path)
{
	struct view name = view_eq(path, VIEW("/")) ? VIEW("index.html") : view_from(path, 1);

	while (files->name.n > 0 && !view_eq(files->name, name))
		files++;
	return files->name.n > 0 ? files : NULL;
}

static void reply_without(struct page_reply *reply)
{
	reply->status = 404;
	reply->content = view_of(not_built, sizeof(not_built) - 1);
	snprintf(reply->fields, sizeof(reply->fields),
		"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n");
}

void page_reply(struct page_reply *reply, const struct page_file *files, const struct page_wish *wish)
{
	const struct page_file *file = file_find(files, wish->path);
	char tag[48];

	if (file == NULL) {
		reply_without(reply);
		return;
	}
	/* Each representation has a tag of its own (RFC 9110 §8.8.3.3). */
	snprintf(tag, sizeof(tag), "%s%s", file->tag, wish->takes_gzip ? "-gzip" : "");
	reply->status = is_known(wish->known_tags, tag) ? 304 : 200;
	reply->content = wish->takes_gzip ? file->packed : file->plain;
	snprintf(reply->fields, sizeof(reply->fields),
		"Content-Type: %s\r\n%sETag: \"%s\"\r\nVary: Accept-Encoding\r\nCache-Control: no-cache\r\n" PAGE_POLICY,
		file->type, wish->takes_gzip ? "Content-Encoding: gzip\r\n" : "", tag);
}

void answer_page(struct admin_conn *c)
{
	const struct page_wish wish = {
		.path = view_str(c->request.resource->pattern),
		.takes_gzip = c->request.takes_gzip,
		.known_tags = view_str(c->request.known_tags),
	};
	struct page_reply reply;

	page_reply(&reply, page_files, &wish);
	admin_put(c, reply.content);
	/* RFC 9110 §8.6: of an answer without content, the length is that of the answer that has it. */
	c->is_head |= reply.status == 304;
	admin_answer(c, reply.status, view_str(reply.fields));
}
