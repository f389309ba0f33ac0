# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Hang;

# Requests that hang while others do not: who got which answer when, which stacks are in the log, and how many workers
# served at each moment.

use strict;
use warnings FATAL => 'all';

use base qw(Exporter);
use File::Temp ();
use PyDaemonTest::Background;
use PyDaemonTest::Build;
use PyDaemonTest::Client;
use PyDaemonTest::Process;
use Time::HiRes qw(sleep time);
use Time::Local qw(timelocal);

our @EXPORT = qw(stuck_library all_off ask marked trickle dumps log_seconds lowest_capacity ready_pids no_failure);

# Makes apps/stuck.c in a server's folder: what faults.py has to have in STUCK_LIBRARY. @return its path
sub stuck_library {
    my ($server) = @_;
    my $path = $server->dir . '/stuck.so';
    my $compiler = $ENV{CC} // 'cc';
    system("$compiler -shared -fPIC -O1 -o '$path' '$PyDaemonTest::Build::top/apps/stuck.c'") and die "$compiler failed\n";
    chmod 0755, $path;
    return $path;
}

# Options of PyDaemonProcess under which no limit is on but those given. shutdown-timeout can't be off.
sub all_off {
    my (%on) = @_;
    my %off = map { $_ => 'off' } qw(request-timeout queue-timeout startup-timeout deadlock-timeout graceful-timeout
        inactivity-timeout maximum-requests restart-interval memory-limit memory-hard-limit cpu-time-limit slow-request);
    my %options = (%off, %on);
    return join ' ', map { "$_=$options{$_}" } sort keys %options;
}

# A request in the background: its ->result has status, body, complete, head, and when it began and ended.
sub ask {
    my ($port, $path, $seconds) = @_;
    return background(sub {
        my $began = time;
        my $response = client($port, "GET $path HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")->response(
            seconds => $seconds // 60);
        return { %$response, began => $began, ended => time };
    });
}

# marked(FILE [, SECONDS]): who executes a request of apps/faults.py, once it does: { pid, tid, thread, time }, or undef
sub marked {
    my ($file, $seconds) = @_;
    PyDaemonTest::Process::wait_until(sub { -s $file }, $seconds // 10) or return undef;
    my %mark;
    @mark{qw(pid tid thread time)} = split ' ', PyDaemonTest::Process::read_file($file);
    return \%mark;
}

# ---- others ---------------------------------------------------------------------------------------------------------

# trickle(PORT, PATH [, N]): N clients (2), each a request every 20 ms, with its number in the query. ->end returns them:
# [ { id, status, complete, ms, pid } ]; pid as /fine of apps/faults.py says.
sub trickle {
    my ($port, $path, $clients) = @_;
    my $folder = File::Temp->newdir;
    my @clients = map { my $number = $_; background(sub { drip($port, $path, $number, "$folder/stop") }) } 1 .. $clients // 2;
    return bless { clients => \@clients, folder => $folder }, 'PyDaemonTest::Hang::Trickle';
}

sub drip {
    my ($port, $path, $number, $stop) = @_;
    my ($count, $client, @answers) = (0);
    while (!-e $stop) {
        my $id = "$number-" . ++$count;
        my $is_new = !$client;
        $client //= client($port);
        my $began = time;
        $client->send("GET $path?id=$id HTTP/1.1\r\nHost: h\r\n\r\n");
        my $response = $client->response(seconds => 60);
        if ($response->{status} == 0 && $response->{head} eq '' && !$is_new) {
            undef $client;    # a kept connection has been closed, which is httpd's right
            next;
        }
        push @answers, { id => $id, status => $response->{status}, complete => $response->{complete} // 0,
            ms => 1000 * (time - $began), pid => ($response->{body} // '') =~ /^\S+ (\d+) / ? $1 : 0 };
        undef $client if !$response->{complete} || ($response->{headers}{connection} // [''])->[0] =~ /close/i;
        sleep 0.02;
    }
    return \@answers;
}

sub PyDaemonTest::Hang::Trickle::end {
    my ($self) = @_;
    open my $stop, '>', "$self->{folder}/stop" or die "$self->{folder}/stop: $!\n";
    return map { ref $_ eq 'ARRAY' ? @$_ : die "$_->{error}\n" } map { $_->result } @{ $self->{clients} };
}

# "", or what is wrong with these answers: each has to be a whole 200, and there have to be some.
sub no_failure {
    my @answers = @_;
    my @bad = grep { $_->{status} != 200 || !$_->{complete} } @answers;
    return 'there are none' unless @answers;
    return join ', ', map { "$_->{id}: $_->{status}" . ($_->{complete} ? '' : ' cut') } @bad;
}

# ---- the log --------------------------------------------------------------------------------------------------------

my %month = do { my $n = 0; map { $_ => $n++ } qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec) };

# When a line was logged, as time() says it; undef if it does not say.
sub log_seconds {
    my ($line) = @_;
    return undef unless $line =~ /^\[\w+ (\w+) (\d+) (\d+):(\d+):(\d+)(\.\d+) (\d+)\]/;
    return timelocal($5, $4, $3, $2, $month{$1}, $7) + $6;
}

# The dumps in a text of the log: { number, pid, lines => [ without what is around them ], total, begins, ends, whole,
# tier, text }. tier: GIL, no GIL, /proc, crash
sub dumps {
    my ($text) = @_;
    my (%dumps, @order);
    for my $line (split /\n/, $text) {
        my ($level, $pid, $what, $number, $n, $total) =
            $line =~ /\[pydaemon:(\w+)\] .*?mod_pydaemon \(pid=(\d+)\): (.*) \[dump (\d+) (\d+)\/(\d+)\]$/ or next;
        my $dump = $dumps{"$pid $number"} //= do {
            push @order, "$pid $number";
            { number => $number, pid => $pid, lines => [], total => $total, begins => log_seconds($line), whole => 1,
                levels => {} };
        };
        push @{ $dump->{lines} }, $what;
        $dump->{levels}{$level} = 1;
        $dump->{ends} = log_seconds($line);
        $dump->{whole} = 0 if $n != @{ $dump->{lines} } || $total != $dump->{total};
    }
    for my $dump (values %dumps) {
        $dump->{whole} = 0 if @{ $dump->{lines} } != $dump->{total};
        $dump->{text} = join '', map { "$_\n" } @{ $dump->{lines} };
        $dump->{tier} = tier($dump->{text});
    }
    return map { $dumps{$_} } @order;
}

sub tier {
    my ($text) = @_;
    return 'no GIL' if $text =~ /^The GIL was not to be had/m;
    return '/proc' if $text =~ /^The worker did not answer/m;
    return 'crash' if $text =~ /, crashed, executing|^Fatal Python error/m;
    return 'GIL';
}

# Pids of a group's workers that were ready, and had neither ended nor been told to go, when the text ended.
sub ready_pids {
    my ($text, $group) = @_;
    my %ready;
    for (split /\n/, $text) {
        changes(\%ready, $_, $group);
    }
    my @pids = sort { $a <=> $b } keys %ready;    # an array: see below() in Process.pm
    return @pids;
}

# What a line says of who serves. Lines of one manager are in order.
sub changes {
    my ($ready, $line, $group) = @_;
    return unless $line =~ /mod_pydaemon \(pid=(\d+)\): (.*)/;
    my ($pid, $what) = ($1, $2);
    $ready->{$pid} = 1 if $what =~ /^Worker \d+ of '\Q$group\E' is ready/;
    delete $ready->{$pid} if $what =~ /^(?:Retiring worker \d+ of '\Q$group\E'|Worker \d+ of '\Q$group\E' (?:ended|is stopping))/;
}

# The smallest number of workers of a group that served after so many had been ready for the first time.
sub lowest_capacity {
    my ($text, $group, $processes) = @_;
    my (%ready, $lowest);
    for (split /\n/, $text) {
        changes(\%ready, $_, $group);
        my $now = keys %ready;
        $lowest //= $now if $now >= $processes;
        $lowest = $now if defined $lowest && $now < $lowest;
    }
    return $lowest // 0;
}

1;
