/*
 * See date.h. Each form is a pattern, in which '_' stands for what is read; then its parts are at fixed places.
 */
#include "http/date.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

#define FIFTY_YEARS_S (50 * 36525LL * 864)

struct date {
	int year, month, day; /* month: 1 to 12 */
	int hour, minute, second;
};

static bool fits(struct view v, const char *form)
{
	if (v.n != strlen(form))
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (form[i] != '_' && v.p[i] != form[i])
			return false;
	return true;
}

/* `n` digits at p; -1: they are not. */
static int digits(const char *p, unsigned n)
{
	int value = 0;

	for (unsigned i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		value = 10 * value + (p[i] - '0');
	}
	return value;
}

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* 1 to 12; 0: it is none. */
static int month_of(const char *p)
{
	for (int i = 0; i < 12; i++)
		if (memcmp(p, months + 3 * i, 3) == 0)
			return i + 1;
	return 0;
}

/* Days from 1970-01-01 (Gregorian); years are counted from March, so that a leap day is the last of its year. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* The time of day at p, "08:49:37". */
static void read_time(struct date *d, const char *p)
{
	d->hour = digits(p, 2);
	d->minute = digits(p + 3, 2);
	d->second = digits(p + 6, 2);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_fixdate(struct view v, struct date *d)
{
	if (!fits(v, "___, __ ___ ____ __:__:__ GMT"))
		return false;
	*d = (struct date){.year = digits(v.p + 12, 4), .month = month_of(v.p + 8), .day = digits(v.p + 5, 2)};
	read_time(d, v.p + 17);
	return true;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool read_asctime(struct view v, struct date *d)
{
	if (!fits(v, "___ ___ __ __:__:__ ____"))
		return false;
	*d = (struct date){.year = digits(v.p + 20, 4), .month = month_of(v.p + 4)};
	d->day = v.p[8] == ' ' ? digits(v.p + 9, 1) : digits(v.p + 8, 2);
	read_time(d, v.p + 11);
	return true;
}

static int64_t seconds_of(const struct date *d)
{
	return days_of(d->year, d->month, d->day) * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
}

/* The latest in which the date, whose year has two digits, is not after `until_s`; not before 1900. */
static int century_of(struct date d, int64_t until_s)
{
	int century = 1900;

	for (d.year += 2000; seconds_of(&d) <= until_s; d.year += 100)
		century += 100;
	return century;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool read_rfc850(struct view v, uint64_t unix_now_s, struct date *d)
{
	static const char *const days[] = {"Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"};
	bool is_day = false;

	for (size_t i = 0; i < 7 && !is_day; i++) {
		size_t n = strlen(days[i]);

		is_day = v.n > n && memcmp(v.p, days[i], n) == 0;
		if (is_day)
			v = view_from(v, n);
	}
	if (!is_day || !fits(v, "day, __-___-__ __:__:__ GMT"))
		return false;
	*d = (struct date){.year = digits(v.p + 12, 2), .month = month_of(v.p + 8), .day = digits(v.p + 5, 2)};
	if (d->year < 0)
		return false;
	read_time(d, v.p + 15);
	d->year = century_of(*d, (int64_t)unix_now_s + FIFTY_YEARS_S) + d->year;
	return true;
}

bool http_date_parse(struct view text, uint64_t unix_now_s, uint64_t *unix_s)
{
	struct date d;

	if (!read_fixdate(text, &d) && !read_rfc850(text, unix_now_s, &d) && !read_asctime(text, &d))
		return false;
	if (d.year < 1970 || d.month == 0 || d.day < 1 || d.day > 31 || d.hour < 0 || d.hour > 23 || d.minute < 0 ||
		d.minute > 59 || d.second < 0 || d.second > 60)
		return false;
	*unix_s = (uint64_t)seconds_of(&d);
	return true;
}

/* strftime() would look for the time zone's file each time. */
struct view http_date(char text[HTTP_DATE_BYTES], uint64_t unix_s)
{
	static const char weekdays[] = "SunMonTueWedThuFriSat";
	time_t t = (time_t)unix_s;
	struct tm tm;
	int n;

	gmtime_r(&t, &tm);
	n = snprintf(text, HTTP_DATE_BYTES, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", weekdays + 3 * (ptrdiff_t)tm.tm_wday, tm.tm_mday,
		months + 3 * (ptrdiff_t)tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	CHECK(n == HTTP_DATE_BYTES - 1);
	return view_of(text, HTTP_DATE_BYTES - 1);
}
