dnl SPDX-License-Identifier: Apache-2.0
dnl Options of the build that have nothing to do with httpd or Python. Included by configure.ac.

AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat warnings of the compiler as errors])],
    [], [enable_werror=no])
AC_ARG_ENABLE([sanitize],
    [AS_HELP_STRING([--enable-sanitize=LIST], [build with these sanitizers: address,undefined])],
    [], [enable_sanitize=no])
AC_ARG_ENABLE([fuzz],
    [AS_HELP_STRING([--enable-fuzz], [build the libFuzzer programs; needs CC=clang])],
    [], [enable_fuzz=no])
AS_IF([test "x$enable_sanitize" = xyes], [enable_sanitize=address,undefined])

AC_DEFUN([PYD_TRY_CFLAG], [
    AS_VAR_PUSHDEF([cache], [pyd_cv_cflag_$1])
    AC_CACHE_CHECK([whether $CC takes $1], [cache], [
        pyd_save_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS -Werror $1"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([])], [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
        CFLAGS=$pyd_save_CFLAGS])
    AS_VAR_IF([cache], [yes], [WARN_CFLAGS="$WARN_CFLAGS $1"])
    AS_VAR_POPDEF([cache])])

WARN_CFLAGS=
PYD_TRY_CFLAG([-Wall])
PYD_TRY_CFLAG([-Wextra])
PYD_TRY_CFLAG([-Wconversion])
PYD_TRY_CFLAG([-Wshadow])
PYD_TRY_CFLAG([-Wundef])
PYD_TRY_CFLAG([-Wvla])
PYD_TRY_CFLAG([-Wstrict-prototypes])
PYD_TRY_CFLAG([-Wmissing-prototypes])
PYD_TRY_CFLAG([-Wpointer-arith])
PYD_TRY_CFLAG([-Wcast-qual])
PYD_TRY_CFLAG([-Wwrite-strings])
PYD_TRY_CFLAG([-Wformat=2])
pyd_summary_warnings="shown"
AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"; pyd_summary_warnings="errors"])
AC_SUBST([WARN_CFLAGS])

SANITIZE_CFLAGS=
AS_IF([test "x$enable_fuzz" = xyes], [
    AS_IF([test "x$enable_sanitize" = xno], [enable_sanitize=address,undefined])
    SANITIZE_CFLAGS="-fsanitize=fuzzer-no-link "])
AS_IF([test "x$enable_sanitize" != xno], [
    SANITIZE_CFLAGS="$SANITIZE_CFLAGS-fsanitize=$enable_sanitize -fno-omit-frame-pointer -fno-sanitize-recover=undefined"
    dnl clang links its runtime statically into programs only; httpd is not ours, so the module needs the shared one.
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([[#ifndef __clang__
#error not clang
#endif]])], [AS_IF([test "x$enable_fuzz" != xyes], [SANITIZE_CFLAGS="$SANITIZE_CFLAGS -shared-libsan"])])
    pyd_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS $SANITIZE_CFLAGS"
    AC_MSG_CHECKING([whether $CC links with $SANITIZE_CFLAGS])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([])], [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([$CC cannot link with $SANITIZE_CFLAGS; --enable-fuzz needs CC=clang])])
    CFLAGS=$pyd_save_CFLAGS])
AC_SUBST([SANITIZE_CFLAGS])
AC_SUBST([enable_sanitize])
AM_CONDITIONAL([SANITIZE], [test "x$enable_sanitize" != xno])
AM_CONDITIONAL([FUZZ], [test "x$enable_fuzz" = xyes])

dnl What `make check` needs. A build without it is fine; a check without it fails, it does not skip.
pyd_missing=
AC_CHECK_HEADER([cmocka.h], [], [pyd_missing="$pyd_missing cmocka (libcmocka-dev)"],
    [[#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>]])
AC_MSG_CHECKING([for Apache::Test])
AS_IF(["$PERL" -MApache::Test -e 1 2>/dev/null], [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no]); pyd_missing="$pyd_missing Apache::Test (libapache2-mod-perl2)"])
AC_PATH_PROG([CURL], [curl])
AS_IF([test -z "$CURL"], [pyd_missing="$pyd_missing curl"])
AC_PATH_PROGS([CTAGS], [ctags-universal ctags])
AS_IF([test -z "$CTAGS"], [pyd_missing="$pyd_missing universal-ctags"])
AS_IF([test -z "$pyd_missing"], [pyd_summary_tests="complete"], [pyd_summary_tests="cannot run, missing:$pyd_missing"])
CHECK_MISSING=$pyd_missing
AC_SUBST([CHECK_MISSING])
