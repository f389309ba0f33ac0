# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Build;

# What is tested, from build.conf, which tests/apache/run has written; and which httpd modules there are.

use strict;
use warnings FATAL => 'all';

use Cwd qw(realpath);
use File::Basename qw(dirname);

our $top = realpath(dirname(__FILE__) . '/../..');
my %facts;

sub fact {
    my ($name) = @_;
    if (!%facts) {
        open my $in, '<', "$top/build.conf" or die "$top/build.conf: $!; was this folder made by `make check-apache`?\n";
        while (<$in>) {
            $facts{$1} = $2 if /^(\w+)=(.*)$/;
        }
    }
    die "build.conf has no '$name'\n" unless defined $facts{$name};
    return $facts{$name};
}

sub is_root { return $> == 0 }

sub mpm { return $ENV{PYD_TEST_MPM} || fact('mpm') }

# How many times as long everything may take: a busy host (two cores shared with others stall for seconds), sanitizers.
# It costs nothing while tests pass: they wait for events.
sub slowness { return $ENV{PYD_TEST_SLOWNESS} // (fact('sanitize') ne 'no' ? 8 : 3) }

# The user httpd's children run as, and the group.
sub user  { return is_root() ? 'www-data' : scalar getpwuid $> }
sub group { return is_root() ? scalar getgrgid((getpwnam user())[3]) : scalar getgrgid((split ' ', $))[0]) }

# Users for groups of their own, as root; none of them owns anything.
sub other_users {
    return () unless is_root();
    return grep { defined getpwnam $_ } qw(games nobody daemon);
}

# The modules of httpd that the tests may use; the last ones are left out where they do not fit.
my @modules = qw(authz_core authz_host authn_core authn_file authz_user auth_basic access_compat alias mime dir env
    setenvif headers rewrite status include socache_shmcb ssl deflate reqtimeout http2 log_config substitute);

sub load_modules {
    my $directory = `"@{[fact('apxs')]}" -q LIBEXECDIR`;
    chomp $directory;
    my $static = `"@{[fact('httpd_program')]}" -l`;
    my @lines;
    for my $name ('mpm_' . mpm(), @modules) {
        next if $static =~ /\bmod_$name\.c\b/ || ($name eq 'http2' && mpm() eq 'prefork');
        push @lines, "LoadModule ${name}_module $directory/mod_$name.so" if -e "$directory/mod_$name.so";
    }
    return @lines;
}

sub load_pydaemon { return "LoadModule pydaemon_module @{[fact('module')]}" }

1;
