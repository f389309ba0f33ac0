# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Load;

# wrk beside a test, and what processes cost before and after.

use strict;
use warnings FATAL => 'all';

use base qw(Exporter);
use PyDaemonTest::Build;
use PyDaemonTest::Process;
use Test::More;

our @EXPORT = qw(roomy_mpm load_seconds start_load finish_load footprint check_flat);

# PYD_TEST_LOAD_SECONDS=60 is what CI sets; less by default, and under a sanitizer.
sub load_seconds {
    my $seconds = $ENV{PYD_TEST_LOAD_SECONDS} // 12;
    $seconds = int $seconds / 3 if PyDaemonTest::Build::fact('sanitize') ne 'no';
    return $seconds < 3 ? 3 : $seconds;
}

# Settings that keep httpd's own ways out of it. Event closes kept-alive connections when a child has no thread to spare
# ("All workers are busy or dying, will shutdown ..." at trace1), static files' too, and who sends a request at that
# moment has lost it before any handler saw it: wrk calls that a read error. So each of the 4 children has a thread for
# every connection.
sub roomy_mpm {
    my ($connections) = @_;
    my $all = 4 * $connections;
    my $processes = $connections + 20;
    return PyDaemonTest::Build::mpm() eq 'prefork'
        ? "StartServers $processes\nMinSpareServers 1\nMaxSpareServers $processes\nServerLimit $processes\n" .
          "MaxRequestWorkers $processes\n"
        : "StartServers 4\nServerLimit 4\nThreadLimit $connections\nThreadsPerChild $connections\n" .
          "MaxRequestWorkers $all\nMinSpareThreads 1\nMaxSpareThreads $all\n";
}

# start_load(SCRIPT, URL, SECONDS, CONNECTIONS, ARGUMENT...)
sub start_load {
    my ($script, $url, $seconds, $connections, @arguments) = @_;
    $seconds = int $seconds || 1;
    my $pid = open(my $in, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec 'wrk', '-t', 2, '-c', $connections, '-d', "${seconds}s", '--timeout', '60s', '-s',
            "$PyDaemonTest::Build::top/load/$script", $url, '--', @arguments or POSIX::_exit(127);
    }
    return { pid => $pid, in => $in };
}

# What the script's RESULT line says.
sub finish_load {
    my ($load) = @_;
    local $/;
    my $text = readline($load->{in}) // '';
    close $load->{in};
    my ($line) = $text =~ /^RESULT (.*)$/m;
    diag $text unless defined $line;
    my ($numbers, $first_bad) = ($line // '') =~ /^(.*) first_bad=(.*)$/;
    return { map({ split /=/ } split ' ', $numbers // ''), first_bad => $first_bad };
}

# Private memory in KiB and descriptors of each process: pid => [ name, KiB, descriptors ]
sub footprint {
    my %found;
    for my $pid (@_) {
        my $memory = PyDaemonTest::Process::read_file("/proc/$pid/smaps_rollup") or next;
        my $kib = 0;
        $kib += $1 while $memory =~ /^Private_(?:Clean|Dirty): +(\d+) kB/mg;
        my @descriptors = glob "/proc/$pid/fd/*";
        my $name = PyDaemonTest::Process::program($pid) =~ /pydaemon-worker/
            ? PyDaemonTest::Process::title($pid) =~ s/:[^:]*busy.*//r : PyDaemonTest::Process::title($pid);
        $found{$pid} = [ $name =~ /apache2|httpd/ ? 'httpd' : $name, $kib, scalar @descriptors ];
    }
    return \%found;
}

# check_flat(BEFORE, AFTER, REQUESTS, KIB, DESCRIPTORS [, KIB of httpd]): each process of before is there and has at most
# so much more.
sub check_flat {
    my ($before, $after, $requests, $worker_kib, $margin_descriptors, $httpd_kib) = @_;
    for my $pid (sort { $before->{$a}[0] cmp $before->{$b}[0] || $a <=> $b } keys %$before) {
        my ($name, $kib, $descriptors) = @{ $before->{$pid} };
        my $now = $after->{$pid};
        ok(defined $now, "$name (pid $pid) lives") or next;
        my $margin_kib = $name eq 'httpd' ? $httpd_kib // $worker_kib : $worker_kib;
        my $grown = $now->[1] - $kib;
        note sprintf '%s: %d KiB, now %d KiB (%+d; %.0f bytes a request); descriptors %d, now %d', $name, $kib, $now->[1],
            $grown, 1024 * $grown / ($requests || 1), $descriptors, $now->[2];
        cmp_ok($grown, '<=', $margin_kib, "... with at most $margin_kib KiB more")
            if PyDaemonTest::Build::fact('sanitize') eq 'no';
        cmp_ok($now->[2] - $descriptors, '<=', $margin_descriptors, "... and at most $margin_descriptors descriptors more");
    }
}

1;
