dnl SPDX-License-Identifier: Apache-2.0
dnl One worker program per Python. Included by configure.ac. The list of Pythons is known here only, so the make
dnl rules of the workers are generated: python-workers.mk, substituted into the Makefile.

AC_ARG_WITH([python],
    [AS_HELP_STRING([--with-python=A,B], [Pythons to build workers for, the first is the default: interpreters or
        python-config programs (default: /usr/bin/python3)])],
    [], [with_python=/usr/bin/python3])
AS_IF([test "x$with_python" = xyes], [with_python=/usr/bin/python3])

PYD_DEFAULT_PYTHON=
PYD_DEFAULT_PYTHON_EXECUTABLE=
PYD_PYTHON_SUMMARY=
PYTHON_WORKERS=
PYTHON_EXECUTABLES=
PYTHON_WORKER_RULES=python-workers.mk
: >"$PYTHON_WORKER_RULES"

dnl PYD_EXAMINE_PYTHON: sets pyd_py_* from the program in pyd_python, or ends configure
AC_DEFUN([PYD_EXAMINE_PYTHON], [
    AS_CASE([$pyd_python],
        [*-config], [pyd_py_config=$pyd_python; pyd_py_program=`AS_ECHO(["$pyd_python"]) | $SED 's/-config$//'`],
        [pyd_py_config=; pyd_py_program=$pyd_python])
    AS_CASE([$pyd_py_program], [*/*], [],
        [pyd_py_program=`command -v "$pyd_py_program" || AS_ECHO(["$pyd_py_program"])`])
    AC_MSG_CHECKING([Python $pyd_py_program])
    pyd_py_facts=`"$pyd_py_program" "$srcdir/build-aux/python-facts.py" 2>&1`
    AS_IF([test $? -ne 0], [AC_MSG_RESULT([no])
        AC_MSG_ERROR([--with-python: $pyd_py_program cannot be used: $pyd_py_facts])])
    eval "$pyd_py_facts"
    AC_MSG_RESULT([$pyd_py_version])
    AS_VERSION_COMPARE([$pyd_py_version], [3.9],
        [AC_MSG_ERROR([--with-python: Python 3.9 or newer is needed; $pyd_py_program is $pyd_py_version])])
    AS_IF([test -z "$pyd_py_config"], [pyd_py_config=$pyd_py_found_config])
    AS_IF([test -z "$pyd_py_config" || test ! -x "$pyd_py_config"],
        [AC_MSG_ERROR([--with-python: no python$pyd_py_version-config for $pyd_py_program; install its headers dnl
(Debian: python3-dev), or give the path of the python-config program])])
    dnl A run path of the place where Python was built would win over the place where it is.
    pyd_py_ldflags="$pyd_py_relocated_ldflags `"$pyd_py_config" --ldflags --embed | $SED 's/-Wl,-rpath,@<:@^ @:>@*//g'`"
    pyd_py_cppflags="-isystem $pyd_py_include"
    AS_IF([test -n "$pyd_py_rpath"], [pyd_py_ldflags="$pyd_py_ldflags -Wl,-rpath,$pyd_py_rpath"])
    AS_IF([test "$pyd_py_shared" = no], [pyd_py_ldflags="$pyd_py_ldflags -Wl,--export-dynamic"])
    pyd_save_CPPFLAGS=$CPPFLAGS; pyd_save_LIBS=$LIBS
    CPPFLAGS="$CPPFLAGS $pyd_py_cppflags"; LIBS="$pyd_py_ldflags $LIBS"
    AC_MSG_CHECKING([whether Python $pyd_py_version can be embedded])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <Python.h>]], [[Py_Initialize(); return Py_FinalizeEx();]])],
        [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([--with-python: $pyd_py_program cannot be embedded with $pyd_py_ldflags; its headers and a dnl
shared libpython (--enable-shared) are needed, see config.log])])
    CPPFLAGS=$pyd_save_CPPFLAGS; LIBS=$pyd_save_LIBS])

pyd_save_IFS=$IFS; IFS=,
set x $with_python; shift
IFS=$pyd_save_IFS
for pyd_python in "$[@]"; do
    PYD_EXAMINE_PYTHON
    AS_CASE([" $PYTHON_WORKERS "], [*" pydaemon-worker-$pyd_py_version "*],
        [AC_MSG_ERROR([--with-python: two Pythons of version $pyd_py_version])])
    AS_IF([test -z "$PYD_DEFAULT_PYTHON"],
        [PYD_DEFAULT_PYTHON=$pyd_py_version; PYD_DEFAULT_PYTHON_EXECUTABLE=$pyd_py_executable])
    PYTHON_WORKERS="$PYTHON_WORKERS pydaemon-worker-$pyd_py_version"
    PYTHON_EXECUTABLES="$PYTHON_EXECUTABLES $pyd_py_executable"
    PYD_PYTHON_SUMMARY="$PYD_PYTHON_SUMMARY$pyd_py_version ($pyd_py_executable) "
    $SED -e "s|@V@|$pyd_py_version|g" -e "s|@CPPFLAGS@|$pyd_py_cppflags|g" -e "s|@LDFLAGS@|$pyd_py_ldflags|g" \
        -e "s|@EXECUTABLE@|$pyd_py_executable|g" -e '/^##/d' "$srcdir/build-aux/python-worker.mk.in" >>"$PYTHON_WORKER_RULES"
done

AC_SUBST([PYD_DEFAULT_PYTHON])
AC_SUBST([PYD_DEFAULT_PYTHON_EXECUTABLE])
AC_SUBST([PYTHON_WORKERS])
AC_SUBST([PYTHON_EXECUTABLES])
AC_SUBST([PYTHON_WITH], [$with_python])
AC_SUBST_FILE([PYTHON_WORKER_RULES])
pyd_summary_libexec=`test "x$exec_prefix" != xNONE || exec_prefix=$prefix; test "x$exec_prefix" != xNONE || exec_prefix=$ac_default_prefix; eval "echo $libexecdir"`
