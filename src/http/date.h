/* HTTP-date (RFC 9110 §5.6.7), as it is received and sent. */
#ifndef WEIR_HTTP_DATE_H
#define WEIR_HTTP_DATE_H

#include "base/view.h"

/*
 * Seconds since the Unix epoch, in any of the three forms, the two obsolete ones among them. A year of two digits is at most 50
 * years after unix_now_s. The name of the day is not compared with the date. False: it is none, or before the epoch.
 */
bool http_date_parse(struct view text, uint64_t unix_now_s, uint64_t *unix_s);

#define HTTP_DATE_BYTES 30

/* Unix time, before the year 10000, as "Sun, 06 Nov 1994 08:49:37 GMT": a view into `text`. */
struct view http_date(char text[HTTP_DATE_BYTES], uint64_t unix_s);

#endif
