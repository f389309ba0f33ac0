# SPDX-License-Identifier: Apache-2.0
# Requests that a dead worker had not begun are answered by another one, whatever their method.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess two processes=2 threads=4
PyDaemonAlias /two @apps@/fate.py group=two
PyDaemonProcess one processes=1 threads=1
PyDaemonAlias /one @apps@/fate.py group=one
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $big = "$dir/big";
open my $out, '>', $big or die;
print $out 'x' x 300_000;
close $out;

sub post { # PATH, BODY: in the background
    my ($path, $body) = @_;
    return background(sub { curl($server->url($path), '-H', 'Expect:', '--data-binary', $body) });
}

ok(wait_for(sub { 3 == (() = $server->log_text =~ /is ready after/g) }), 'all workers start');

# Connections that are already there, and new ones; a body that goes along, and one that waits to be asked for.
for my $round (1 .. 3) {
    ok(wait_for(sub { 2 == $server->workers('two') }), "round $round: two workers");
    my ($stopped, $lives) = $server->workers('two');
    PyDaemonTest::Process::halt($stopped);
    my @requests = map { post('/two', $_ % 2 ? 'small' : "\@$big") } 1 .. 6;
    wait_for(sub { 3 >= grep { $_->is_running } @requests }, 5);
    my $waiting = grep { $_->is_running } @requests;
    cmp_ok($waiting, '>=', 1, '... some requests wait for the stopped worker');
    kill KILL => $stopped;
    my @answers = map { $_->result } @requests;
    is(join(' ', map { $_->{status} } @answers), '200 200 200 200 200 200', '... all are answered');
    is(scalar(grep { $_->{body} =~ /^POST \d+ (?:5|300000)$/ } @answers), 6, '... with their bodies');
    is(scalar(grep { $_->{body} =~ /^POST $stopped / } @answers), 0, '... by others');
    ok($server->wait_for_log(qr/PYD0601: .*pid=$stopped\).*; no request in flight/), '... the manager says none was begun');
    ok(wait_for(sub { my @now = $server->workers('two'); 2 == @now && !grep { $_ == $stopped } @now }), '... and replaces it');
    wait_for(sub { (() = $server->log_text =~ /of 'two' is ready after/g) == 2 + $round });
}
unlike($server->log_text, qr/PYD0210/, 'no request was lost');

# What waits in the queue when the only worker dies is answered by its successor.
my ($only) = $server->workers('one');
my $begun = post("/one?mark=$dir/marks/one&wait=$dir/marks/never", 'begun');
ok(wait_for(sub { -e "$dir/marks/one" }), 'the only thread is busy');
my @queued = map { post("/one/$_", "queued") } 1 .. 4;
ok(!wait_for(sub { 4 > grep { $_->is_running } @queued }, 0.5), 'four more wait');
kill KILL => $only;
is($begun->result->{status}, 502, 'the request it had begun: 502');
is(join(' ', map { $_->result->{status} } @queued), '200 200 200 200', 'the queue: served by the next worker');
is(scalar(grep { $_->result->{body} =~ /^POST $only / } @queued), 0, '... another one');

# SIGTERM is a way to say "finish and go": what runs is finished, what comes goes elsewhere.
my ($leaving) = $server->workers('two');
my @running = map { my $n = $_; background(sub { curl($server->url("/two?mark=$dir/marks/t$n&wait=$dir/marks/go")) }) } 1 .. 4;
ok(wait_for(sub { 4 == grep { -e "$dir/marks/t$_" } 1 .. 4 }), 'requests run in both workers');
kill TERM => $leaving;
ok($server->wait_for_log(qr/pid=$leaving\): Worker \d of 'two' is stopping by itself/), 'SIGTERM: the worker leaves');
is(curl($server->url('/two'))->{status}, 200, '... new requests are served') for 1 .. 3;
open my $go, '>', "$dir/marks/go" or die;
close $go;
is(join(' ', map { $_->result->{status} } @running), '200 200 200 200', '... and what ran is finished');
ok(wait_for(sub { !PyDaemonTest::Process::lives($leaving) }), '... then it ends');
ok(wait_for(sub { 2 == $server->workers('two') }), '... and is replaced');

$server->announce(qr/PYD0601: .*killed by signal 9/, qr/PYD0210: .*of 'one' was killed by signal 9/);
ok($server->wait_for_log(qr/pid=$leaving\): Worker \d of .two. ended: stopped as told/), "... which the log does not call an error");
$server->tolerate(qr/PYD0608/);    # two that had served nobody yet may have been killed in a row
finish();
