dnl SPDX-License-Identifier: Apache-2.0
dnl httpd and APR: everything is asked from apxs. Included by configure.ac.

AC_ARG_WITH([apxs],
    [AS_HELP_STRING([--with-apxs=PATH], [apxs of the httpd to build for])],
    [], [with_apxs=])
AC_ARG_WITH([module-dir],
    [AS_HELP_STRING([--with-module-dir=DIR], [where mod_pydaemon.so is installed (default: as apxs says)])],
    [moduledir=$withval], [moduledir=])

AS_CASE([$with_apxs],
    [""|yes], [AC_PATH_PROGS([APXS], [apxs apxs2], [], [$PATH:/usr/sbin:/usr/local/apache2/bin])],
    [APXS=$with_apxs])
AS_IF([test -z "$APXS" || test ! -x "$APXS"],
    [AC_MSG_ERROR([apxs not found${APXS:+ at $APXS}: install httpd's headers (Debian: apache2-dev) or use --with-apxs=PATH])])

HTTPD_VERSION=`"$APXS" -q HTTPD_VERSION 2>/dev/null`
AC_MSG_CHECKING([for the version of httpd])
AC_MSG_RESULT([${HTTPD_VERSION:-unknown}])
AS_VERSION_COMPARE([${HTTPD_VERSION:-0}], [2.4.41],
    [AC_MSG_ERROR([httpd 2.4.41 or newer is needed; $APXS belongs to ${HTTPD_VERSION:-an unknown version}])])

AC_ARG_VAR([HTTPD], [the httpd program the tests run])
pyd_sbindir=`"$APXS" -q SBINDIR`
AS_IF([test -z "$HTTPD"],
    [AC_PATH_PROGS([HTTPD], [apache2 httpd], [], [$pyd_sbindir:/usr/sbin:$PATH])])
AS_IF([test -z "$HTTPD"], [HTTPD=none])

AS_IF([test -z "$moduledir"], [moduledir=`"$APXS" -q LIBEXECDIR`])
AC_SUBST([moduledir])
AC_SUBST([HTTPD_VERSION])

dnl System headers are not ours to judge: -isystem keeps their warnings out.
pyd_apr_config=`"$APXS" -q APR_CONFIG`
pyd_apu_config=`"$APXS" -q APU_CONFIG`
HTTPD_CPPFLAGS="-isystem `"$APXS" -q INCLUDEDIR`"
for pyd_config in "$pyd_apr_config" "$pyd_apu_config"; do
    AS_IF([test -n "$pyd_config" && test -x "$pyd_config"],
        [HTTPD_CPPFLAGS="$HTTPD_CPPFLAGS `"$pyd_config" --includes | $SED 's/-I */-isystem /g'`"])
done
pyd_apr_cppflags=`"$pyd_apr_config" --cppflags`
HTTPD_CPPFLAGS="$pyd_apr_cppflags $HTTPD_CPPFLAGS"
pyd_save_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $HTTPD_CPPFLAGS"
AC_CHECK_HEADER([httpd.h], [], [AC_MSG_ERROR([httpd.h is not usable with $HTTPD_CPPFLAGS])], [AC_INCLUDES_DEFAULT])
CPPFLAGS=$pyd_save_CPPFLAGS
AC_SUBST([HTTPD_CPPFLAGS])
