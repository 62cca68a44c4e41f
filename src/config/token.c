/* Tokens and keys: whoever has one is let in, so what stands in their place is never shown, be it wrong or right. */
#include "config/read.h"
#include "http/chars.h"

#define TOKEN_BYTES_MIN 16
#define TOKEN_BYTES_MAX 512
#define TOKEN_ALLOWED "16 to 512 letters, digits, '-', '.', '_', '~', '+', '/' or '='"

/* RFC 6750 §2.1 */
static bool is_token_char(char c)
{
	char lower = char_lower(c);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~+/=", c) != NULL);
}

static void token_take(struct load *l, const struct node *node, struct view token, struct view *out)
{
	size_t good = 0;

	while (good < token.n && is_token_char(token.p[good]))
		good++;
	if (good < token.n)
		complain(l, node, "found a character that no token has, at place %zu; allowed: " TOKEN_ALLOWED, good + 1);
	else if (token.n < TOKEN_BYTES_MIN || token.n > TOKEN_BYTES_MAX)
		complain(l, node, "found a token of %zu characters; allowed: " TOKEN_ALLOWED, token.n);
	else
		*out = load_copy(l, token);
}

void token_read(struct load *l, const struct node *node, struct view *out)
{
	struct view text = text_read(l, node, TOKEN_ALLOWED);

	if (text.p != NULL)
		token_take(l, node, text, out);
}

/* What editors and `echo` put behind it is not part of it. */
void token_file_read(struct load *l, const struct node *node, struct config_file *file, struct view *out)
{
	config_file_read(l, node, file);
	struct view token = file->bytes;

	while (token.n > 0 && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
		token.n--;
	if (token.p != NULL)
		token_take(l, node, token, out);
}
