# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Faults;

# The fault matrix: what a worker can do wrong (a row), and what everybody then sees (the columns). t/35-faults.t runs
# some of the rows; `make check-faults` all of them; `make update-faults` writes what it saw to docs/faults.md.

use strict;
use warnings FATAL => 'all';

use base qw(Exporter);
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Build;
use PyDaemonTest::Hang;
use PyDaemonTest::Process;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(fault_rows start_fault_server run_fault check_fault fault_table fault_document documented_faults);

use constant { REQUEST_TIMEOUT => 2, STARTUP_TIMEOUT => 2, PROCESSES => 2 };

# What of a row is compared, and what is only shown.
my @compared = qw(client stacks line same others left);
my @columns = (
    [ client => 'client gets' ],
    [ late_s => 'after the deadline' ],
    [ stacks => 'stacks' ],
    [ line => 'line to blame' ],
    [ same => 'others in that worker' ],
    [ others => 'all others' ],
    [ dump_s => 'dump complete' ],
    [ full_s => 'all workers serve' ],
    [ left => 'processes left' ],
);

sub in_function { # NAME [, SOURCE]: the line of a dump that tells where the fault is
    my ($name, $source) = @_;
    return defined $source ? qr/file "[^"]*\/faults\.py", line \d+, in $name: \Q$source\E/
        : qr/file "[^"]*\/faults\.py", line \d+, in $name$/m;
}

# name, path and query; what is expected: client, stacks (tier), same (others in the same worker), left (processes);
# blame: a line that the dump has, or does not need to have.
#
# Whom a fault may hurt: a worker that dies, or whose lock (GIL) is taken for good, can't finish its other requests.
my %late = (client => '504', stacks => 'GIL', same => '200', others => '200', left => 0);
my %stuck = (%late, stacks => 'no GIL', same => '504');
my %dead = (client => '502', stacks => 'none', same => '502', others => '200', left => 0, dies => 1);

my @rows = (
    { %late, name => 'asleep in Python', path => 'sleep_in_python', blame => in_function('sleep_in_python', 'time.sleep('),
        short => 1 },
    { %late, name => 'asleep in C', path => 'sleep_in_c', blame => in_function('sleep_in_c', 'ctypes.CDLL(None).sleep(') },
    { %late, name => 'spinning in Python', path => 'spin_in_python', blame => qr/file "[^"]*\/faults\.py", line \d+, in spin_in_python: / },
    { %stuck, name => 'spinning in C with the GIL', path => 'spin_in_c', blame => in_function('spin_in_c', 're.match('), short => 1 },
    { %stuck, name => 'asleep in C with the GIL', path => 'hold_the_gil', blame => in_function('hold_the_gil', 'ctypes.PyDLL(') },
    { %late, name => 'deadlocked on two locks', path => 'deadlock',
        blame => qr/(?=.*file "[^"]*\/faults\.py", line \d+, in deadlock: theirs\.acquire\(\))(?=.*file "[^"]*\/faults\.py", line \d+, in (?:deadlock\.<locals>\.)?other: ours\.acquire\(\))/s },
    { %late, name => 'hangs behind the headers', path => 'sends_and_hangs', client => '200 cut',
        blame => in_function('sends_and_hangs', 'time.sleep(600)') },
    { %stuck, name => 'SIGSTOP', path => 'stop', stacks => '/proc', blame => qr{GET \S*/stop\b.*, native: .*stopped}, short => 1 },
    { %late, name => 'uninterruptible sleep', path => 'sleep_uninterruptibly', blame => in_function('sleep_uninterruptibly', 'ctypes.CDLL(') },
    { %stuck, name => 'uninterruptible sleep with the GIL', path => 'sleep_uninterruptibly_with_the_gil',
        blame => qr{GET \S*/sleep_uninterruptibly_with_the_gil\b.*(?:uninterruptible|disk sleep)} },
    { %late, name => 'blocked on a full pipe to the log', path => 'full_pipe', manager_stopped => 1,
        blame => qr/in full_pipe: / },
    { %late, name => 'leaves 20 forked children behind', path => 'fork_children?children=20', left => 20,
        blame => in_function('fork_children', 'time.sleep(600)') },
    { %dead, name => 'SIGSEGV', path => 'segfault', stacks => 'crash', blame => in_function('segfault'), short => 1 },
    { %dead, name => 'stack overflow in C', path => 'overflow_the_stack', stacks => 'crash',
        blame => in_function('overflow_the_stack') },
    { %dead, name => 'abort()', path => 'abort', stacks => 'crash', blame => in_function('abort') },
    { %dead, name => 'os._exit(3)', path => 'leave', short => 1 },
    { %dead, name => 'SIGKILL', path => 'kill_itself?signal=9' },
    { %dead, name => 'exhausts memory', path => 'exhaust_memory?mebibytes=640', group => 'memory', stacks => 'GIL',
        blame => in_function('exhaust_memory', '') },
    { client => '503', stacks => 'GIL', same => '-', others => '200', left => 0, name => 'import hangs', import => 'sleep_in_python', short => 1,
        group => 'import1', blame => in_function('sleep_in_python', 'time.sleep(') },
    { client => '503', stacks => 'no GIL', same => '-', others => '200', left => 0, name => 'import hangs with the GIL',
        import => 'hold_the_gil', group => 'import2', blame => in_function('hold_the_gil', 'ctypes.PyDLL(') },
);

sub fault_rows { return grep { $_[0] || $_->{short} } @rows }

# ---- the server -----------------------------------------------------------------------------------------------------

sub start_fault_server {
    my $server = start_server(start => 0, conf => '');
    my $dir = $server->dir;
    mkdir "$dir/marks" and chmod 0777, "$dir/marks";
    stuck_library($server);
    my $common = sprintf 'processes=%d threads=8 shutdown-timeout=1 env=STUCK_LIBRARY=@dir@/stuck.so', PROCESSES;
    my %groups = (all => 'request-timeout=' . REQUEST_TIMEOUT, memory => 'request-timeout=20 memory-hard-limit=@limit@',
        map { $_->{group} => sprintf('startup-timeout=%d env=FAULT_AT_IMPORT=@dir@/marks/%s', STARTUP_TIMEOUT, $_->{group}) }
        grep { $_->{import} } @rows);
    my $conf = "<Location />\nRequire all granted\n</Location>\n" . join '', map {
        "PyDaemonProcess $_ $common $groups{$_}\nPyDaemonAlias /$_ \@apps\@/faults.py group=$_\n" } sort keys %groups;
    my $limit = sanitized() ? '500M' : '320M';
    $conf =~ s/\@limit\@/$limit/g;
    $server->write_conf($conf);
    $server->start;
    return $server;
}

sub since { # LENGTH: what the log has got since it was so long
    my ($server, $length) = @_;
    return substr $server->log_text, $length;
}

# ---- a row ----------------------------------------------------------------------------------------------------------

# Runs it. @return what was seen: the columns
sub run_fault {
    my ($server, $row) = @_;
    return $row->{import} ? run_import($server, $row) : run_request($server, $row);
}

sub serves { # GROUP: its workers that are ready and live
    my ($server, $group) = @_;
    return grep { PyDaemonTest::Process::lives($_) } ready_pids($server->log_text, $group);
}

sub run_request {
    my ($server, $row) = @_;
    my ($port, $group, $dir) = ($server->port, $row->{group} // 'all', $server->dir . '/marks');
    my $number = ++$server->{faults};
    my %seen = (dump_s => undef);
    wait_for(sub { PROCESSES == serves($server, $group) }, 20) or return { %seen, client => 'group is not whole before' };
    my $length = length $server->log_text;
    my $mark = sub { "mark=$dir/$number-$_[0]" };

    # In a worker that dies they go on until then; elsewhere they end in time.
    my $lasts = $row->{dies} ? "until?file=$dir/$number-release" : 'slow?seconds=1.2';
    my @before = map { ask($port, "/$group/$lasts&" . $mark->("before$_")) } 1 .. PROCESSES;
    my %by_before = map { $_ => marked("$dir/$number-before$_") } 1 .. PROCESSES;
    my $trickle = trickle($port, "/$group/fine");
    my ($manager) = $server->managers;
    kill STOP => $manager if $row->{manager_stopped};
    my $separator = $row->{path} =~ /\?/ ? '&' : '?';
    my $fault = ask($port, "/$group/$row->{path}$separator" . $mark->('fault'));
    my $who = marked("$dir/$number-fault") or return { %seen, client => 'fault did not begin' };
    # Those have time left when the fault's is over: what was slow, and in another worker, has ended meanwhile.
    my ($elsewhere) = grep { $by_before{$_}{pid} != $who->{pid} } 1 .. PROCESSES;
    $before[ $elsewhere - 1 ]->result if $elsewhere && !$row->{dies};
    my @after = map { ask($port, "/$group/until?file=$dir/$number-release&" . $mark->("after$_")) } 1 .. PROCESSES + 1;
    my $answer = $fault->result;
    $server->write_file("marks/$number-release", '');
    kill CONT => $manager if $row->{manager_stopped};
    $_->result for @before, @after;

    my $deadline = $who->{time} + ($row->{dies} ? 0 : REQUEST_TIMEOUT);
    $seen{client} = $answer->{status} . ($answer->{complete} || !$answer->{status} ? '' : ' cut');
    $seen{late_s} = $answer->{ended} - $deadline;
    $seen{healed} = wait_for(sub { !PyDaemonTest::Process::lives($who->{pid}) && PROCESSES == serves($server, $group) &&
        since($server, $length) =~ /\(pid=$who->{pid}\): Worker \d+ of '$group' ended/ }, 15);
    my @trickled = $trickle->end;
    my $text = since($server, $length);
    # What was in that worker before may be the first to exceed its time.
    my ($first) = sort { $a <=> $b } $who->{time}, map { $by_before{$_}{time} } grep { $by_before{$_}{pid} == $who->{pid} &&
        $before[ $_ - 1 ]->result->{status} == 504 } 1 .. PROCESSES;
    look_at_log(\%seen, $row, $text, $group, $who->{pid}, $deadline - $who->{time} + $first);
    look_at_others(\%seen, $text, $who->{pid}, \@trickled,
        (map { { url => "before$_", pid => $by_before{$_}{pid}, status => status($before[ $_ - 1 ]->result) } } 1 .. PROCESSES),
        (map { { url => "after$_", pid => pid_of("$dir/$number-after$_"), status => status($after[ $_ - 1 ]->result) } } 1 .. @after));
    look_at_processes(\%seen, $server, $row);
    return \%seen;
}

sub status {
    my ($answer) = @_;
    return $answer->{status} . (!$answer->{status} || $answer->{complete} ? '' : ' cut');
}

sub pid_of { return (split ' ', PyDaemonTest::Process::read_file($_[0]))[0] // 0 }

# The application can't be imported any more when its workers are to be replaced: whoever asks gets 503 when that is
# known, and all is well once it can.
sub run_import {
    my ($server, $row) = @_;
    my ($port, $group) = ($server->port, $row->{group});
    my %seen = (same => '-', dump_s => undef);
    wait_for(sub { PROCESSES == serves($server, $group) }, 20) or return { %seen, client => 'group is not whole before' };
    my @before = serves($server, $group);
    my $length = length $server->log_text;
    my $others = trickle($port, '/all/fine', 1);
    $server->write_file("marks/$group", $row->{import});
    kill KILL => @before;
    wait_for(sub { !grep { PyDaemonTest::Process::lives($_) } @before });
    my $answer = ask($port, "/$group/fine")->result;
    my ($started) = since($server, $length) =~ /^([^\n]*): Starting worker \d+ of '$group'/m;
    my $deadline = log_seconds($started) + STARTUP_TIMEOUT;
    $seen{client} = status($answer);
    $seen{late_s} = $answer->{ended} - $deadline;
    my ($pid) = $started =~ /pid=(\d+)\)$/;
    wait_for(sub { $server->log_text =~ /\(pid=$pid\): Worker \d+ of '$group' ended/ });
    unlink $server->dir . "/marks/$group";
    my $mended = time;
    $seen{healed} = wait_for(sub { PROCESSES == serves($server, $group) }, 15);
    my $text = since($server, $length);
    $seen{others} = join ' ', unique(map { $_->{status} } $others->end);
    look_at_log(\%seen, $row, $text, $group, $pid, $deadline);
    $seen{full_s} = log_seconds((grep { /Worker \d+ of '$group' is ready/ } split /\n/, $text)[-1] // '') - $mended
        if $seen{healed};
    look_at_processes(\%seen, $server, $row);
    return \%seen;
}

sub unique { my %seen; return sort grep { !$seen{$_}++ } @_ }

# Its stacks, and when the others served again.
sub look_at_log {
    my ($seen, $row, $text, $group, $pid, $deadline) = @_;
    my @dumps = grep { $_->{pid} == $pid } dumps($text);
    my ($best) = grep { $row->{blame} && $_->{text} =~ $row->{blame} } @dumps;
    my $dump = $best // $dumps[0];
    my %ready;
    $seen->{stacks} = $dump ? $dump->{tier} . ($dump->{whole} ? '' : ', not whole') : 'none';
    $seen->{line} = $best ? 'yes' : $row->{blame} ? 'no' : '-';
    $seen->{dump_s} = $dump->{ends} - $deadline if $dump && defined $dump->{ends};
    $seen->{dump_text} = join "\n", map { $_->{text} } @dumps;
    for my $line (split /\n/, $text) {
        next unless $line =~ /mod_pydaemon \(pid=(\d+)\): Worker \d+ of '\Q$group\E' is ready/ && $1 != $pid;
        $seen->{full_s} //= log_seconds($line) - $deadline;
    }
}

# What became of other requests: of the same worker, and of all others. Who executed one that failed is in the log.
sub look_at_others {
    my ($seen, $text, $pid, $trickled, @requests) = @_;
    push @requests, map { { url => "id=$_->{id}", pid => $_->{pid},
        status => $_->{status} . ($_->{complete} || !$_->{status} ? '' : ' cut'), ms => $_->{ms} } } @$trickled;
    my (%same, %others);
    for my $request (@requests) {
        my $where = $request->{pid};
        if ($request->{status} ne '200' && $text =~ /PYD0[26]\d\d: [^\n]*\bpid=(\d+)\b[^\n]*GET \S*\b\Q$request->{url}\E\b/) {
            $where = $1;
        }
        $where == $pid ? $same{ $request->{status} }++ : $others{ $request->{status} }++;
    }
    $seen->{counts} = 'same worker: ' . counted(\%same) . '; others: ' . counted(\%others);
    # What it had finished before, by the hundred, is not what this is about.
    delete $same{200} if keys %same > 1;
    $seen->{same} = join ' ', sort keys %same;
    $seen->{others} = join ' ', sort keys %others;
    ($seen->{longest_ms}) = sort { $b <=> $a } map { $_->{ms} // 0 } grep { $_->{status} eq '200' } @requests;
}

sub counted {
    my ($count) = @_;
    return join ', ', map { "$count->{$_} x $_" } sort keys %$count;
}

# Worker programs that are not the manager's children any more; they are ended here.
sub look_at_processes {
    my ($seen, $server, $row) = @_;
    my ($manager) = $server->managers;
    my $left = sub { grep { PyDaemonTest::Process::parent($_) != $manager } $server->workers };
    wait_for(sub { $row->{left} == $left->() }, 3);
    my @left = $left->();
    kill KILL => @left if @left;
    $seen->{left} = scalar @left;
}

# ---- verdicts and tables --------------------------------------------------------------------------------------------

# One test a row, and remarks on what was different.
sub check_fault {
    my ($row, $seen) = @_;
    my %expected = (%$row, line => $row->{blame} ? 'yes' : '-');
    my @wrong = grep { ($seen->{$_} // '?') ne $expected{$_} } @compared;
    push @wrong, 'healed' unless $seen->{healed};
    Test::More::ok(!@wrong, $row->{name}) or Test::More::diag(map({ sprintf "  %s: '%s', not '%s'\n", $_, $seen->{$_} // '?',
        $expected{$_} // 'yes' } @wrong), '  ', $seen->{counts} // '', "\n", $seen->{dump_text} // '');
    return !@wrong;
}

sub shown {
    my ($column, $value) = @_;
    return '-' unless defined $value;
    return $value unless $column =~ /_s$/;
    return $value < 0.1 ? '< 0.1 s' : sprintf '%.1f s', $value;
}

# table(ROWS, SEEN [, exact => 1]): lines of text, as Markdown
sub fault_table {
    my ($rows, $seen, %options) = @_;
    my @lines = ([ 'fault', map { $_->[1] } @columns ]);
    for my $i (0 .. $#$rows) {
        push @lines, [ $rows->[$i]{name}, map {
            my $value = $seen->[$i]{$_->[0]};
            $options{exact} && defined $value && $_->[0] =~ /_s$/ ? sprintf '%.3f s', $value : shown($_->[0], $value);
        } @columns ];
    }
    my @width = map { my $n = $_; (sort { $b <=> $a } map { length $_->[$n] } @lines)[0] } 0 .. @columns;
    my @text = map { my $line = $_; '| ' . join(' | ', map { sprintf '%-*s', $width[$_], $line->[$_] } 0 .. @columns) . ' |' } @lines;
    splice @text, 1, 0, '|' . join('|', map { '-' x ($_ + 2) } @width) . '|';
    return @text;
}

# The rows of docs/faults.md: name => { column => cell }; of what is compared only.
sub documented_faults {
    my %documented;
    for (split /\n/, PyDaemonTest::slurp(PyDaemonTest::Build::fact('srcdir') . '/docs/faults.md')) {
        my ($name, @cells) = split / *\| */, s/^\| //r;
        next unless @cells == @columns && $cells[0] !~ /^-+$|client gets/;
        my %cell = map { $columns[$_][0] => $cells[$_] } 0 .. $#columns;
        $documented{ $name =~ s/ +$//r } = { map { $_ => $cell{$_} } @compared };
    }
    return \%documented;
}

sub fault_document {
    my ($rows, $seen) = @_;
    my $processes = PROCESSES;
    return <<"END" . join('', map { "$_\n" } fault_table($rows, $seen));
# What happens when a worker goes wrong

<!-- Made by `make update-faults`, which runs the rows of tests/apache/lib/PyDaemonTest/Faults.pm: change it there. -->

A group with processes=$processes request-timeout=@{[REQUEST_TIMEOUT]} startup-timeout=@{[STARTUP_TIMEOUT]} shutdown-timeout=1, under load. In each row one worker of it goes wrong
in the way that is named. `make check-faults` runs them all and compares everything but the times, which are those of the
machine this was written on: two cores, shared with others.

* client gets: the request that caused it; *cut*: headers had been sent, and the client can tell that the body is not whole
* after the deadline: when it got that; for a worker that dies, after it began to
* stacks: how those in the log were taken: by the worker, holding Python's lock (GIL); by the worker, without it; by the
  manager, from /proc; or by the worker while it crashed. *line to blame*: whether the line of source, or the
  system call, that hangs is in it
* others in that worker: what was answered to requests that it was executing besides. *all others*: every other request
  to the group meanwhile
* dump complete, all workers serve: after the deadline; of an import, after it works again
* processes left: by the worker, once it has gone. What an application forks is its own business

END
}

1;
