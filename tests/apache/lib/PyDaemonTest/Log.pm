# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Log;

# What error logs got since a certain moment, and which of it nobody has announced.

use strict;
use warnings FATAL => 'all';

use PyDaemonTest::Build;

# new(GLOB...): the files that match, from their present ends on; ones that appear later, from their beginnings
sub new {
    my ($class, @globs) = @_;
    my $self = bless { globs => \@globs, start => {}, expected => [] }, $class;
    $self->{start}{$_} = -s $_ for $self->files;
    return $self;
}

sub files {
    my ($self) = @_;
    return sort map { glob } @{ $self->{globs} };
}

sub text {
    my ($self) = @_;
    my $text = '';
    for my $file ($self->files) {
        open my $in, '<', $file or next;
        seek $in, $self->{start}{$file} // 0, 0;
        local $/;
        $text .= <$in> // '';
    }
    return $text;
}

# A line like this will come; it is wrong if it does not.
sub announce {
    my ($self, @patterns) = @_;
    push @{ $self->{expected} }, map { { pattern => $_, needed => 1 } } @patterns;
}

# A line like this may come.
sub tolerate {
    my ($self, @patterns) = @_;
    push @{ $self->{expected} }, map { { pattern => $_, needed => 0 } } @patterns;
}

# What the host's packages say to each other: Debian's mod_ssl is newer than the libssl it finds.
my $host_matter = qr/\bAH01882:/;

# Lines of level warn and more urgent, crashes, and what did not come through httpd's log at all.
sub is_bad {
    my ($line) = @_;
    return 0 if $line !~ /\S/ || $line =~ $host_matter;
    return 1 if $line =~ /exit signal|AddressSanitizer|runtime error:/;
    return $line =~ /^\[[^\]]*\d\d:\d\d:\d\d[^\]]*\] \[\w*:(\w+)\]/ ? $1 =~ /^(?:emerg|alert|crit|error|warn)$/ : 1;
}

# On a hard stop mpm_event's main thread closes the sockets of its threads' connections, also one that a thread is just
# freeing: then the child dies in apr_os_sock_get(). Seen in a core, with none of our functions in any thread. Taken for
# that is only what the parent says within 2 s before it says that it stops.
sub is_race_of_event {
    my ($lines, $at) = @_;
    return 0 if $lines->[$at] !~ /\[(pid \d+):.*AH0005[12]: child pid \d+ exit signal Segmentation fault/;
    my $parent = $1;
    for my $line (@$lines[ $at + 1 .. $#$lines ]) {
        next if $line !~ /\[\Q$parent\E:/ || $line =~ /AH0005[12]:/;
        return $line =~ /AH00491:|AH00096:/ && seconds($line) - seconds($lines->[$at]) < 2;
    }
    return 0;
}

# After 3 s the parent repeats a SIGTERM to children that stop; that happens on a host which is busy with others. It
# is no excuse for one that does not end: from the 9th second on the parent says AH00046 and kills.
sub is_slow_stop {
    my ($lines, $at) = @_;
    return 0 if $lines->[$at] !~ /\[(pid \d+):.*AH00045: child process \d+ still did not exit, sending a SIGTERM$/;
    my $parent = $1;
    return grep { /\[\Q$parent\E:.*: caught SIGTERM, shutting down/ } @$lines[ $at + 1 .. $#$lines ];
}

sub seconds { return $_[0] =~ / (\d+):(\d+):([\d.]+) / ? $1 * 3600 + $2 * 60 + $3 : 0 }

# What is wrong with the log, as a list of lines; nothing, if all is well.
sub problems {
    my ($self) = @_;
    my @problems;
    my $at = -1;
    my @lines = split /\n/, $self->text;
    my $is_event = PyDaemonTest::Build::mpm() eq 'event';
    for my $line (@lines) {
        ++$at;
        next if is_slow_stop(\@lines, $at) || $is_event && is_race_of_event(\@lines, $at);
        my @matching = grep { $line =~ $_->{pattern} } @{ $self->{expected} };
        $_->{seen} = 1 for @matching;
        push @problems, "not announced: $line" if !@matching && is_bad($line);
    }
    push @problems, map { "announced, but did not come: $_->{pattern}" }
        grep { $_->{needed} && !$_->{seen} } @{ $self->{expected} };
    return @problems;
}

1;
