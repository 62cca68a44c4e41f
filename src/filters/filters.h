/*
 * The table of filters: one entry for each enum config_filter_kind. A new filter is one file here, its ops declared below,
 * and one line in filters.c.
 */
#ifndef WEIR_FILTERS_FILTERS_H
#define WEIR_FILTERS_FILTERS_H

#include "gateway/filter.h"

extern const struct filter_ops *const filter_table[];

extern const struct filter_ops filter_access;      /* access.c */
extern const struct filter_ops filter_api_key;     /* api_key.c */
extern const struct filter_ops filter_headers;     /* headers.c */
extern const struct filter_ops filter_rate_limit;  /* rate_limit.c */

#endif
