/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_SPEC_TABLE_H
#define PYD_SPEC_TABLE_H

#include "pyd_spec.h"

/* Shared by the files of src/spec: the rows of the option table and what is done with one value. */

enum pyd_spec_type {
    PYD_SPEC_COUNT, /* whole number */
    PYD_SPEC_SIZE,  /* bytes, with K, M, G */
    PYD_SPEC_TIME,  /* microseconds, with ms, s, m, h */
    PYD_SPEC_OCTAL, /* file mode bits */
    PYD_SPEC_TEXT,  /* string */
    PYD_SPEC_PATHS, /* list of directories, ':' between them */
    PYD_SPEC_ENV,   /* list of KEY=VALUE, one at a time */
    PYD_SPEC_APPS   /* list of applications (dotted lines only) */
};

/* "auto" stands for 0 */
#define PYD_SPEC_FLAG_AUTO 0x01u
/* "off", and 0 unless 0 is in the range, stand for the row's off value */
#define PYD_SPEC_FLAG_OFF 0x02u
/* "unlimited" stands for the row's maximum */
#define PYD_SPEC_FLAG_UNLIMITED 0x04u
/* the empty string is a value */
#define PYD_SPEC_FLAG_EMPTY 0x08u
/* %{GROUP} stands for "(pydaemon:NAME)" */
#define PYD_SPEC_FLAG_GROUP 0x10u

struct pyd_spec_option {
    const char *key;
    const char *alias; /* second name, or NULL */
    enum pyd_spec_type type;
    unsigned flags;
    size_t offset, bytes; /* of the field in struct pyd_spec */
    int64_t initial, min, max, off;
    const char *initial_text; /* what a string field starts with, or NULL */
    const char *default_text; /* for the manual */
    const char *help;
};

/** Row i of all rows, those of the dotted lines after the user's; NULL past the last one. */
const struct pyd_spec_option *pyd_spec_option_at(size_t i);
/** True if users may not set it. */
int pyd_spec_option_is_internal(const struct pyd_spec_option *option);
/** Row of key (size bytes of it), or NULL. */
const struct pyd_spec_option *pyd_spec_option_find(const char *key, size_t size);
/** The user's option whose name is nearest to key, or NULL if none resembles it. */
const char *pyd_spec_option_nearest(const char *key, size_t size);
/** Say what values the option takes: "a whole number from 1 to 1000, or auto". */
void pyd_spec_option_accepts(const struct pyd_spec_option *option, char *text, size_t size);
/** As one writes it, with the largest unit that leaves a whole number: "90s", "64M". */
void pyd_spec_format_time(int64_t us, char *text, size_t size);
void pyd_spec_format_size(int64_t bytes, char *text, size_t size);

/* pyd_spec_value.c */

/** The option's field. */
void *pyd_spec_value_field(const struct pyd_spec_option *option, struct pyd_spec *spec);
int64_t pyd_spec_value_number(const struct pyd_spec_option *option, const struct pyd_spec *spec);
void pyd_spec_value_set_number(const struct pyd_spec_option *option, struct pyd_spec *spec, int64_t value);
/** Set the option from text as the user writes it. @return 0, EINVAL (not of the kind or range wanted), ENOMEM */
int pyd_spec_value_set(const struct pyd_spec_option *option, struct pyd_spec *spec, const char *text);
/** The same from an unescaped value of the text form: strings are literal, list items come one at a time. */
int pyd_spec_value_restore(const struct pyd_spec_option *option, struct pyd_spec *spec, const char *text);
/** Append a copy to a list. @return 0 or ENOMEM */
int pyd_spec_strings_add(struct pyd_strings *list, const char *data, size_t size);
void pyd_spec_strings_clear(struct pyd_strings *list);

/** Format a message into error. @return EINVAL */
int pyd_spec_fail(char *error, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
