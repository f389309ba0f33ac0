/* SPDX-License-Identifier: Apache-2.0 */

/* Prints docs/options.md from the option table: `make docs/options.md`; tests/check_options.sh compares. */
#include <stdio.h>

#include "pyd_spec.h"

static const char INTRODUCTION[] =
    "# Options of PyDaemonProcess\n"
    "\n"
    "<!-- Made from the table in src/spec/pyd_spec_table.c by `make update-options`: change it there. -->\n"
    "\n"
    "    PyDaemonProcess blog processes=2 threads=15 home=/srv/blog env=DJANGO_SETTINGS_MODULE=blog.settings\n"
    "\n"
    "Sizes are bytes, or have K, M or G behind them. Times are seconds, or have `ms`, `s`, `m` or `h` behind them;\n"
    "only whole numbers. Where `off` is listed it turns the limit off, and so does 0 if the range begins above it.\n"
    "What is not understood is an error, never ignored. A value with blanks is quoted: `\"env=TITLE=My site\"` or\n"
    "`env=\"TITLE=My site\"`. An option that is not marked as repeatable may be given once.\n";

/* Headings are what links go to, so each option has one. */
static void print_row(const struct pyd_spec_row *row)
{
    printf("\n## %s\n\n", row->key);
    if (row->alias)
        printf("Also written `%s`.\n\n", row->alias);
    printf("* Value: %s%s\n", row->accepts, row->repeatable ? "; repeatable" : "");
    printf("* Default: %s\n\n", *row->default_text ? row->default_text : "none");
    printf("%s\n", row->help);
}

int main(void)
{
    struct pyd_spec_row row;

    fputs(INTRODUCTION, stdout);
    for (size_t i = 0; pyd_spec_describe(i, &row); i++)
        print_row(&row);
    return fflush(stdout) != 0;
}
