# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Process;

# Processes, from /proc. Zombies are gone; in a container nobody may reap them.

use strict;
use warnings FATAL => 'all';

use PyDaemonTest::Build;
use Time::HiRes qw(sleep time);

sub read_file {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    no warnings;
    return <$in> // '';
}

sub title {
    my $text = read_file("/proc/$_[0]/cmdline");
    $text =~ s/\0+$//;
    $text =~ tr/\0/ /;
    return $text;
}

sub program { return readlink("/proc/$_[0]/exe") // '' }
sub parent  { return read_file("/proc/$_[0]/stat") =~ /\) \S (\d+)/ ? $1 : 0 }
sub lives   { return read_file("/proc/$_[0]/stat") =~ /\) [^ZX] / ? 1 : 0 }

# Stop them, and wait until all of their threads stand still: a thread that is woken up before that goes on for a moment.
sub halt {
    my @pids = @_;
    kill STOP => @pids;
    my $until = time + 20;
    while (grep { read_file($_) =~ /\) [^TZX] / } map { glob "/proc/$_/task/*/stat" } @pids) {
        return 0 if time > $until;
        sleep 0.002;
    }
    return 1;
}

sub describe {
    my ($pid) = @_;
    return sprintf '%d (%s; %s; parent %d)', $pid, title($pid), program($pid), parent($pid);
}

# Those that run a program below the folder or have a file from there mapped (httpd and the manager: the module).
sub below {
    my ($folder) = @_;
    # An array: sort in scalar context is undefined, and callers count.
    my @found = sort { $a <=> $b } grep {
        $_ != $$ && lives($_) && (index(program($_), "$folder/") == 0 || index(read_file("/proc/$_/maps"), " $folder/") >= 0)
    } map { /(\d+)$/ ? $1 : () } glob '/proc/[0-9]*';
    return @found;
}

# Worker programs of the folder; of one group only, by what ps shows of them.
sub workers {
    my ($folder, $group) = @_;
    return grep { program($_) =~ m{/pydaemon-worker-[\d.]+[a-z]*(?: \(deleted\))?$} && (!defined $group
        || title($_) =~ /^\(pydaemon:\Q$group\E\)/) } below($folder);
}

sub managers {
    my ($folder) = @_;
    return grep { title($_) =~ /^pydaemon manager/ } below($folder);
}

# Whether it holds a TCP socket that listens: the 10th field of /proc/net/tcp is an inode, 0A the state (proc(5)).
sub listens {
    my ($pid) = @_;
    my %listening = map { /^ *\d+: \S+ \S+ 0A (?:\S+ +){5}(\d+)/ ? ("socket:[$1]" => 1) : () }
        map { split /\n/ } read_file('/proc/net/tcp'), read_file('/proc/net/tcp6');
    return scalar grep { $listening{ readlink $_ // '' } } glob "/proc/$pid/fd/*";
}

# Call condition until it is true, at most so many seconds; returns what it returned.
sub wait_until {
    my ($condition, $seconds) = @_;
    my $end = time + $seconds * PyDaemonTest::Build::slowness();
    while (1) {
        my $result = $condition->();
        return $result if $result || time > $end;
        sleep 0.02;
    }
}

1;
