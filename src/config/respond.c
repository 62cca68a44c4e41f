/* `respond`, of a route or of its fallback: an answer that the gateway gives by itself. */
#include "config/read.h"

#define BODY_BYTES_MAX 65536
#define TYPE_BYTES_MAX 4096

static void body_read(struct load *l, const struct node *node, void *out)
{
	struct view text = text_read(l, node, "a text");

	if (text.n > BODY_BYTES_MAX)
		complain(l, node, "found a text of %zu bytes; allowed: at most %u", text.n, BODY_BYTES_MAX);
	else if (text.p != NULL)
		((struct config_respond *)out)->body = load_copy(l, text);
}

static void content_type_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a media type such as application/json";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (text.n > TYPE_BYTES_MAX || memchr(text.p, '/', text.n) == NULL || !field_value_is_valid(text))
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
	else
		((struct config_respond *)out)->content_type = load_copy(l, text);
}

/* RFC 9110 §15.3.5, §15.3.6, §15.4.5: these have no content. */
static void respond_check(struct load *l, const struct node *map, void *out)
{
	struct config_respond *respond = out;
	unsigned status = respond->status;

	if ((status == 204 || status == 205 || status == 304) && respond->body.n > 0)
		complain(l, node_find(map, VIEW("body")),
			"an answer %u has no body; take it out, or take another status", status);
	if (respond->content_type.n == 0)
		respond->content_type = VIEW("text/plain; charset=utf-8");
}

static const struct key respond_keys[] = {
	{"status", KEY_NUMBER, FIELD(struct config_respond, status), .min = 200, .max = 599, .preset = 200},
	{"body", KEY_OWN, .read = body_read},
	{"content_type", KEY_OWN, .read = content_type_read},
};

const struct section respond_section = {KEYS(respond_keys), .check = respond_check};
