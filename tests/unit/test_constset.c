/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_constset.h"

static int add(struct pyd_constset *cache, const char *text)
{
    return pyd_constset_add(cache, text, strlen(text));
}

static int find(struct pyd_constset *cache, const char *text)
{
    return pyd_constset_find(cache, text, strlen(text));
}

static void test_finds_exact_bytes_only(void **state)
{
    struct pyd_constset cache = {0};
    int id;

    (void)state;
    assert_int_equal(find(&cache, "alpha"), -1);
    id = add(&cache, "alpha");
    assert_in_range(id, 0, PYD_WIRE_CONSTS_MAX - 1);
    assert_int_equal(find(&cache, "alpha"), id);
    assert_int_equal(find(&cache, "alphb"), -1);
    assert_int_equal(find(&cache, "alph"), -1);
    assert_int_equal(find(&cache, "alphaa"), -1);
    /* NULs inside count like any byte */
    assert_int_equal(pyd_constset_find(&cache, "alp\0a", 5), -1);
    pyd_constset_done(&cache);
    assert_int_equal(find(&cache, "alpha"), -1);
}

static void test_keeps_a_copy(void **state)
{
    struct pyd_constset cache = {0};
    char text[] = "alpha";
    int id;

    (void)state;
    id = add(&cache, text);
    text[0] = 'A';
    assert_int_equal(find(&cache, "alpha"), id);
    assert_int_equal(find(&cache, text), -1);
    pyd_constset_done(&cache);
}

static void test_replaces_the_least_recently_used(void **state)
{
    struct pyd_constset cache = {0};
    char text[16];
    unsigned used = 0;
    int i, ids[PYD_WIRE_CONSTS_MAX], id;

    (void)state;
    for (i = 0; i < PYD_WIRE_CONSTS_MAX; ++i) {
        snprintf(text, sizeof(text), "set %d", i);
        ids[i] = add(&cache, text);
        used |= 1u << ids[i];
    }
    assert_int_equal(used, (1u << PYD_WIRE_CONSTS_MAX) - 1); /* each has an id of its own */
    /* all but "set 3" are used again */
    for (i = 0; i < PYD_WIRE_CONSTS_MAX; ++i) {
        snprintf(text, sizeof(text), "set %d", i);
        if (i != 3)
            assert_int_equal(find(&cache, text), ids[i]);
    }
    id = add(&cache, "newcomer");
    assert_int_equal(id, ids[3]);
    assert_int_equal(find(&cache, "set 3"), -1);
    assert_int_equal(find(&cache, "newcomer"), id);
    assert_int_equal(add(&cache, "another"), ids[0]);
    pyd_constset_done(&cache);
}

static void test_empty_set(void **state)
{
    struct pyd_constset cache = {0};
    int id;

    (void)state;
    assert_int_equal(pyd_constset_find(&cache, "", 0), -1);
    id = pyd_constset_add(&cache, "", 0);
    assert_int_equal(pyd_constset_find(&cache, "", 0), id);
    pyd_constset_done(&cache);
    pyd_constset_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_exact_bytes_only),
        cmocka_unit_test(test_keeps_a_copy),
        cmocka_unit_test(test_replaces_the_least_recently_used),
        cmocka_unit_test(test_empty_set),
    };

    return cmocka_run_group_tests_name("constset", tests, NULL, NULL);
}
