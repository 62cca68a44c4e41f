/* See filters.h. */
#include "filters/filters.h"

const struct filter_ops *const filter_table[] = {
	[CONFIG_FILTER_HEADERS] = &filter_headers,
	[CONFIG_FILTER_RATE_LIMIT] = &filter_rate_limit,
	[CONFIG_FILTER_ACCESS] = &filter_access,
	[CONFIG_FILTER_API_KEY] = &filter_api_key,
};
