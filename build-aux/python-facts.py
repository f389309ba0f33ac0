# SPDX-License-Identifier: Apache-2.0
"""Print facts about the running Python as shell assignments; used by configure.

sysconfig's LIBDIR is where Python was meant to be installed. A Python that was
moved since (a copied tree) finds its real place through sys.base_prefix, so
that is looked at first.
"""
import os
import shlex
import sys
import sysconfig

SYSTEM_DIRS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")


def is_system_dir(path):
    multiarch = sysconfig.get_config_var("MULTIARCH") or "-"
    return path in SYSTEM_DIRS or path in [os.path.join(d, multiarch) for d in SYSTEM_DIRS]


def first_existing(paths):
    return next((path for path in paths if path and os.path.exists(path)), "")


def main():
    version = "%d.%d" % sys.version_info[:2]
    abi = version + (getattr(sys, "abiflags", "") or "")
    prefix = sys.base_prefix
    shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
    library = sysconfig.get_config_var("INSTSONAME") or "libpython%s.so.1.0" % abi
    moved = os.path.join(prefix, "lib")
    libdir = sysconfig.get_config_var("LIBDIR") or moved
    is_moved = os.path.exists(os.path.join(moved, library)) and not os.path.samefile(moved, libdir) \
        if os.path.exists(libdir) else True
    if is_moved:
        libdir = moved
    bindirs = [os.path.join(prefix, "bin"), os.path.dirname(os.path.realpath(sys.executable)),
               sysconfig.get_config_var("BINDIR")]
    config = first_existing([os.path.join(d, "python%s-config" % abi) for d in bindirs if d])
    facts = {
        "version": version,
        "executable": sys.executable,
        "include": sysconfig.get_path("include"),
        "shared": "yes" if shared else "no",
        "rpath": libdir if shared and not is_system_dir(libdir) else "",
        "relocated_ldflags": "-L" + libdir if is_moved else "",
        "found_config": config,
    }
    for key, value in sorted(facts.items()):
        print("pyd_py_%s=%s" % (key, shlex.quote(value)))


main()
