# SPDX-License-Identifier: Apache-2.0
# What replaces a worker that works: maximum-requests, restart-interval, memory-limit, cpu-time-limit; memory-hard-limit,
# which kills it; slow-request, which does nothing to it. Each with all other limits off. No request fails because of it,
# and there are never fewer workers than there should be.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Hang;

my $mib = sanitized() ? 600 : 100;    # above what a worker has by itself
my %limits = (
    requests => { 'maximum-requests' => 50 },
    exact => { 'maximum-requests' => 10, 'maximum-requests-jitter' => 0 },
    interval => { 'restart-interval' => 3 },
    memory => { 'memory-limit' => "${mib}M" },
    hard => { 'memory-hard-limit' => "${mib}M" },
    cpu => { 'cpu-time-limit' => 2 },
    slow => { 'slow-request' => '300ms' },
);
my $conf = "<Location />\nRequire all granted\n</Location>\n" . join '', map {
    "PyDaemonProcess $_ processes=2 threads=4 " . all_off(%{ $limits{$_} }) . "\nPyDaemonAlias /$_ \@apps\@/faults.py group=$_\n"
} sort keys %limits;
my $server = start_server(start => 0, conf => $conf);
my ($port, $dir) = ($server->port, $server->dir . '/marks');
mkdir $dir and chmod 0777, $dir;
$server->start;

sub whole {
    my ($group) = @_;
    return wait_for(sub { 2 == grep { PyDaemonTest::Process::lives($_) } ready_pids($server->log_text, $group) }, 20);
}
sub ended { # GROUP: [ pid, words ] of each that has
    my ($group) = @_;
    return map { [ /\(pid=(\d+)\): Worker \d+ of '$group' ended: (.*)/ ] }
        grep { /Worker \d+ of '$group' ended: / } split /\n/, $server->log_text;
}
sub begin { my ($group) = @_; ok(whole($group), $group); return trickle($port, "/$group/fine", 2) }
sub finish_case { # GROUP, TRICKLE: nobody else has noticed
    my ($group, $trickle) = @_;
    my @answers = $trickle->end;
    is(no_failure(@answers), '', '... no other request fails');
    note scalar(@answers), ' requests';
    ok(whole($group), '... the group is whole');
    cmp_ok(lowest_capacity($server->log_text, $group, 2), '>=', 2, '... and was so all the time');
    my @urgent = grep { /\[pydaemon:(?:warn|error|crit)\]/ && /'\Q$group\E'/ } split /\n/, $server->log_text;
    return @urgent;
}

# ---- maximum-requests: one after the other --------------------------------------------------------------------------
my $trickle = begin('requests');
ok(wait_for(sub { ended('requests') >= 4 }, 60), 'workers are replaced, again and again');
is(scalar(finish_case('requests', $trickle)), 0, '... which is nothing urgent');
my @ended = ended('requests');
is(scalar(grep { $_->[1] !~ /^replaced after maximum-requests, after [\d.]+ s and \d+ requests/ } @ended), 0, '... the cause is named');
my @counts = map { $_->[1] =~ /and (\d+) requests/ } @ended;
is(join(' ', grep { $_ < 45 } @counts), '', "... none before its time (@counts)");
my @limits = $server->log_text =~ /of 'requests' is replaced after (\d+) requests/g;
# Counted by the manager, each second at least.
is(join(' ', grep { $_ > 55 + 100 } @limits), '', "... nor long after it (@limits)");

ok(whole('exact'), 'jitter off');
my @pids;
for (1 .. 10) {
    my ($pid) = ask($port, '/exact/fine')->result->{body} =~ /^fine (\d+)/;
    push @pids, $pid;
}
is(scalar(ended('exact')), 0, '10 requests for two workers: none is replaced yet') if 1 < keys %{ { map { $_ => 1 } @pids } };
for (1 .. 20) {
    last if ended('exact');
    ask($port, '/exact/fine')->result;
}
ok(wait_for(sub { ended('exact') }), '... and with more of them one is');

# ---- restart-interval -----------------------------------------------------------------------------------------------
$trickle = begin('interval');
ok(wait_for(sub { ended('interval') >= 4 }, 30), 'restart-interval');
is(scalar(finish_case('interval', $trickle)), 0, '... which is nothing urgent');
is(scalar(grep { $_->[1] !~ /^replaced after restart-interval/ } ended('interval')), 0, '... the cause is named');
my @ages = map { $_->[1] =~ /after ([\d.]+) s/ } ended('interval');
is(join(' ', grep { $_ < 2.7 } @ages), '', "... none before its time (@ages)");

# ---- memory-limit ---------------------------------------------------------------------------------------------------
$trickle = begin('memory');
my @requests = map { ask($port, "/memory/$_") } "until?file=$dir/go&mark=$dir/small",
    "grows_and_waits?mebibytes=$mib&file=$dir/go&mark=$dir/big";
my $pid = marked("$dir/big")->{pid};
ok($server->wait_for_log(qr/PYD0633: [^\n]*\(pid=$pid\)/, 20), 'memory-limit');
my ($line) = $server->log_text =~ /(PYD0633: [^\n]*\(pid=$pid\)[^\n]*)/;
my ($has, $limit) = ($line // '') =~ /has ([\d.]+) MiB of ([\d.]+) MiB private memory/;
cmp_ok($has // 0, '>', $mib, '... it says how much there is');
is($limit, "$mib.0", '... of how much');
like($line, qr{GET /memory/grows_and_waits\?mebibytes=$mib\b[^,;]*\d}, '... and the request that grew it');
ok($server->wait_for_log(qr/\(pid=$pid\): Retiring worker/, 20), '... it is replaced');
$server->write_file('marks/go', '');
is(join(' ', map { $_->result->{status} } @requests), '200 200', '... and finishes what it has');
my ($growth) = $line =~ /grows_and_waits[^;]*?\+([\d.]+) MiB/;
cmp_ok($growth // 0, '>', 0.8 * $mib, '... the line says by how much');
ok($server->wait_for_log(qr/\(pid=$pid\): Worker \d+ of 'memory' ended: replaced because it exceeded memory-limit/, 20), '... the cause is named');
is(scalar(grep { !/PYD0633/ } finish_case('memory', $trickle)), 0, '... and nothing else is urgent');

# ---- memory-hard-limit ----------------------------------------------------------------------------------------------
$trickle = begin('hard');
my $big = ask($port, "/hard/grows_and_waits?mebibytes=$mib&file=$dir/never&mark=$dir/hard");
$pid = marked("$dir/hard")->{pid};
is($big->result->{status}, 502, 'memory-hard-limit');
my $text = $server->log_text;
($line) = $text =~ /(PYD0634: [^\n]*\(pid=$pid\)[^\n]*)/;
like($line // '', qr{GET /hard/grows_and_waits\b}, '... the request is named');
like($text, qr/PYD0210: worker pid=$pid of 'hard' [^\n]*memory-hard-limit[^\n]*grows_and_waits[^\n]*502/, '... the answer has the cause');
ok($server->wait_for_log(qr/\(pid=$pid\): Worker \d+ of 'hard' ended: killed because it exceeded memory-hard-limit/, 20), '... the end has it, too');
my ($dump) = grep { $_->{pid} == $pid } dumps($server->log_text);
like($dump ? $dump->{text} : '', qr/in until: time\.sleep.*in grows_and_waits: until/s, '... the stacks come before it');
ok(whole('hard'), '... it is replaced');
my @bad = grep { $_->{status} != 200 } $trickle->end;
is(scalar(grep { my $id = $_->{id}; $server->log_text !~ /PYD0210: worker pid=$pid [^\n]*id=$id:/ } @bad), 0, '... no request of others fails');

# ---- cpu-time-limit -------------------------------------------------------------------------------------------------
$trickle = begin('cpu');
my $works = ask($port, "/cpu/works?seconds=2.5&mark=$dir/cpu");
$pid = marked("$dir/cpu")->{pid};
is($works->result->{status}, 200, 'cpu-time-limit: the request that uses it up is finished');
ok($server->wait_for_log(qr/\(pid=$pid\): Worker \d+ of 'cpu' ended: replaced because it exceeded cpu-time-limit/, 30), '... its worker is replaced');
is(scalar(finish_case('cpu', $trickle)), 0, '... which is nothing urgent');

# ---- slow-request ---------------------------------------------------------------------------------------------------
$trickle = begin('slow');
my $since = length $server->log_text;
my $slow = ask($port, "/slow/until?file=$dir/slow-go&mark=$dir/slow");
my $mark = marked("$dir/slow");
ok($server->wait_for_log(qr{PYD0632: [^\n]*\(pid=$mark->{pid}\): Slow request in 'slow': GET /slow/until\S* (?:runs|ran) }, 20), 'slow-request');
ok(wait_for(sub { dumps(substr $server->log_text, $since) }, 10), '... with a stack');
my @dumps = dumps(substr $server->log_text, $since);
is(scalar(@dumps), 1, '... once');
ok($dumps[0]{whole}, '... all of it');
like($dumps[0]{text}, qr{^Thread $mark->{tid} \(pydaemon-\d+\) GET /slow/until\S* [\d.]+ s, executing file "[^"]*/faults\.py", line \d+, in until: }m,
    '... of its thread');
is(scalar(() = $dumps[0]{text} =~ /^Thread /mg), 1, '... and of no other one');
# Twice its time later it has not been said again: another one has been told of meanwhile.
is(ask($port, '/slow/slow?seconds=1')->result->{status}, 200, '... another one, too');
my @lines = (substr $server->log_text, $since) =~ /PYD0632: [^\n]*/g;
is(scalar(grep { m{GET /slow/until} } @lines), 1, '... each is told of once');
$server->write_file('marks/slow-go', '');
is($slow->result->{status}, 200, '... and they go on to their end');
is(scalar(ended('slow')), 0, '... their worker, too');
is(scalar(grep { !/PYD06(?:32|50)/ } finish_case('slow', $trickle)), 0, '... nothing else is urgent');

$server->announce(qr/PYD0633/, qr/PYD0634/, qr/PYD0632/, qr/PYD0650/, qr/PYD0210/, qr/PYD0611: .*memory-hard-limit/);
$server->tolerate(qr/PYD0(?:610|631): /);
finish();
