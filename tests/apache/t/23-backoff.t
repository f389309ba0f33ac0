# SPDX-License-Identifier: Apache-2.0
# A group that cannot start: 503 with Retry-After, tried again ever less often, one message a change, heals by itself;
# its neighbours never notice.
use PyDaemonTest;

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;

sub write_app { # NAME, TEXT: at once, as an editor would
    my ($name, $text) = @_;
    open my $out, '>', "$dir/$name.new" or die $!;
    print $out $text;
    close $out or die $!;
    rename "$dir/$name.new", "$dir/$name" or die $!;
}

sub count { my ($pattern) = @_; return scalar(() = $server->log_text =~ /$pattern/gm) }

my $works = <<'PYTHON';
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"healed\n"]
PYTHON
write_app('broken.py', "import no_such_module_anywhere\n$works");
write_app('leaver.py', "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n$works");
write_app('brief.py', "import os, threading\nthreading.Timer(0.1, os._exit, [5]).start()\n$works");
$server->write_conf(<<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess good threads=2
PyDaemonAlias /good @apps@/hello.py group=good
PyDaemonProcess broken processes=1
PyDaemonAlias /broken @dir@/broken.py group=broken
PyDaemonProcess brief processes=1
PyDaemonAlias /brief @dir@/brief.py group=brief
PyDaemonProcess leaver processes=1
PyDaemonAlias /leaver @dir@/leaver.py group=leaver
CONF
$server->start;
my ($good) = do { wait_for(sub { $server->workers('good') }); $server->workers('good') };

# A request that comes before anybody knows waits no longer than until it is known.
my $begin = time;
is(curl($server->url('/broken'))->{status}, 503, 'a group that cannot import: 503');
cmp_ok(time - $begin, '<', 25, '... not only after queue-timeout');
ok($server->wait_for_log(qr/PYD0602: .*'broken'/), 'one message says that the group cannot start');
like($server->log_text, qr/Traceback \(most recent call last\)/, '... the traceback is in the log');
like($server->log_text, qr/ModuleNotFoundError: No module named 'no_such_module_anywhere'/, '... with the reason');

my $answer = curl($server->url('/broken'));
is($answer->{status}, 503, 'from then on: 503');
my ($retry) = @{ $answer->{headers}{'retry-after'} // ['none'] };
like($retry, qr/^[1-9]\d*$/, "... with Retry-After ($retry)");
cmp_ok($retry, '<=', 60, '... in reach');
ok($server->wait_for_log(qr/PYD0203: workers of 'broken' do not start.*GET \/broken/), '... httpd says why');

# After 1 s, then after 2 s, and not much more; after 4 s it will be mended.
ok(wait_for(sub { 3 <= count(qr/Starting worker \d of 'broken'/) }, 15), 'it is tried again and again');
my @starts = map { /^\[\w+ \w+ \d+ (\d+):(\d+):([\d.]+) .*Starting worker \d of 'broken'/ ? $1 * 3600 + $2 * 60 + $3 : () }
    split /\n/, $server->log_text;
@starts = map { $_ - $starts[0] } @starts;
cmp_ok($starts[1], '>=', 0.95, '... after a second');
cmp_ok($starts[2] - $starts[1], '>=', 1.9, '... then two');
cmp_ok($starts[2], '<', 5 * PyDaemonTest::Build::slowness(), '... not more');
is(count(qr/PYD0602: .*'broken'/), 1, '... still one message about the group');
is(count(qr/:error\] .*PYD0601: .*'broken'/), 1, '... and one at error about how its worker ended');

# A worker that becomes ready and then ends, over and over, is the same thing.
ok($server->wait_for_log(qr/PYD0601: .*'brief' ended: exited with status 5/), 'one that ends right after its start');
ok($server->wait_for_log(qr/PYD0602: .*'brief'/), '... counts as one that cannot be started');
my $tries = count(qr/Starting worker \d of 'brief'/);
cmp_ok($tries, '<=', 6, "... is not started all the time (so far: $tries)");
like(curl($server->url('/brief'))->{status}, qr/^50[23]$/, '... and answered for');

# So is one that stops itself by a signal.
ok($server->wait_for_log(qr/PYD0602: .*'leaver'/), 'one that sends itself a SIGTERM cannot be started, either');
$tries = count(qr/Starting worker \d of 'leaver'/);
cmp_ok($tries, '<=', 6, "... is not started all the time (so far: $tries)");

# It heals without anybody's help but the one who mends the file.
write_app($_, $works) for 'broken.py', 'brief.py', 'leaver.py';
for my $name ('broken', 'brief', 'leaver') {
    ok(wait_for(sub { curl($server->url("/$name"))->{body} eq "healed\n" }, 20), "$name: healed");
    ok($server->wait_for_log(qr/:notice\] .*Workers of '$name' can be started again/), '... and said so');
    is(count(qr/Workers of '$name' can be started again/), 1, '... once');
    is(count(qr/PYD0602: .*'$name'/), 1, '... as it had said once that it could not');
}

is_deeply([ $server->workers('good') ], [$good], 'the other group never noticed');
is(curl($server->url('/good'))->{status}, 200, '... and serves');

$server->announce(qr/PYD0602/, qr/PYD0601/, qr/PYD0203/);
$server->tolerate(qr/ '(?:broken|brief)' \(pid=\d+\): /, qr/PYD0210/);    # tracebacks
finish();
