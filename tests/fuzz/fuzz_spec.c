/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pyd_spec.h"

/*
 * The first byte says what the rest is: even: assignments, one a line, as in httpd.conf; odd: a text form. What is
 * taken must survive format and parse; what is refused must have a message.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_round_trip(const struct pyd_spec *spec)
{
    char error[300];
    char *first = pyd_spec_format(spec), *second;
    struct pyd_spec copy;

    check(first && pyd_spec_init(&copy, NULL) == 0);
    check(pyd_spec_parse(&copy, first, error, sizeof(error)) == 0);
    second = pyd_spec_format(&copy);
    check(second && strcmp(first, second) == 0);
    check(copy.env.count == spec->env.count && copy.python_path.count == spec->python_path.count);
    check(copy.threads == spec->threads && copy.queue_timeout_us == spec->queue_timeout_us);
    for (size_t i = 0; i < spec->env.count; i++)
        check(strcmp(copy.env.items[i], spec->env.items[i]) == 0);
    pyd_spec_done(&copy);
    free(first);
    free(second);
}

static void set_lines(struct pyd_spec *spec, char *text)
{
    char error[300];

    /* Vertical tabs end an assignment, so that newlines may be in one. */
    for (char *line = strtok(text, "\v"); line; line = strtok(NULL, "\v")) {
        error[0] = '\0';
        check(pyd_spec_set(spec, line, error, sizeof(error)) == 0 || error[0]);
        (void)pyd_spec_find(line);
    }
    error[0] = '\0';
    check(pyd_spec_validate(spec, error, sizeof(error)) == 0 || error[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[300] = "";
    struct pyd_spec spec;
    char *text;

    if (size < 1)
        return 0;
    text = strndup((const char *)data + 1, size - 1);
    check(text && pyd_spec_init(&spec, "fuzz") == 0);
    if (data[0] % 2 == 0) {
        set_lines(&spec, text);
        check_round_trip(&spec);
    } else if (pyd_spec_parse(&spec, text, error, sizeof(error)) == 0) {
        check_round_trip(&spec);
    } else {
        check(error[0] != '\0');
    }
    pyd_spec_done(&spec);
    free(text);
    return 0;
}
