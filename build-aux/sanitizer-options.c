/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the workers of a --enable-sanitize build. Workers do not inherit an environment, so ASAN_OPTIONS cannot
 * come from there. Signals stay what they are, because tests kill workers with them; memory errors are still found.
 * Python does not free what lives as long as the process.
 */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0:abort_on_error=1:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:"
           "handle_abort=0:allow_user_segv_handler=1:disable_coredump=0:quarantine_size_mb=8";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}
