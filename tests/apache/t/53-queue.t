# SPDX-License-Identifier: Apache-2.0
# Requests that find all threads busy: they wait in order, not too many of them, not too long.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;
use Time::HiRes qw(time);

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
LogFormat "%>s %U?%q pid=%{pydaemon_worker_pid}n" notes
CustomLog "@dir@/logs/access_log" notes
PyDaemonProcess short processes=1 threads=1 queue-limit=3 queue-timeout=30
PyDaemonProcess brief processes=1 threads=1 queue-limit=100 queue-timeout=700ms
PyDaemonProcess none processes=1 threads=1 queue-limit=1 queue-timeout=0
PyDaemonAlias /short "@apps@/goes_away.py" group=short
PyDaemonAlias /brief "@apps@/goes_away.py" group=brief
PyDaemonAlias /none "@apps@/goes_away.py" group=none
END
chmod 0777, $server->dir . '/htdocs' or die;
my $number = 0;
sub file { return $server->dir . '/htdocs/' . ++$number }
sub touch { open my $out, '>', $_[0] or die "$_[0]: $!"; close $out }
sub get { return client($server->port, "GET $_[0] HTTP/1.1\r\nHost: h\r\n\r\n") }
# Let the only thread of a group be busy until the returned file is created.
sub occupy {
    my ($group) = @_;
    my $file = file();
    my $client = get("/$group/answers?$file");
    wait_for(sub { -e "$file.begun" }) or die 'not begun';
    return ($file, $client);
}

# ---- in order -------------------------------------------------------------------------------------------------------
my ($busy, $first) = occupy('short');
my (@waiting, @files);
for (1 .. 3) {
    push @files, file();
    push @waiting, get("/short/answers?$files[-1]");
    ok($waiting[-1]->silent(0.1), "request $_ waits");
}
# ---- queue-limit ----------------------------------------------------------------------------------------------------
my $begin = time;
my $full = get('/short/answers?never')->response;
is($full->{status}, 503, 'one more: 503');
cmp_ok(time - $begin, '<', 20, '... and not only when its patience ends');
like($full->{headers}{'retry-after'}[0], qr/^(?:[1-9]|[1-5]\d|60)$/, '... with Retry-After');
like($server->log_text, qr{PYD0201: queue of 'short' is full \(3 requests wait, queue-limit=3\): GET /short/answers\?never answered 503}, '... logged');
my $unread = client($server->port, "POST /short/answers?never HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nxxx")->response(seconds => 5);
is($unread->{status}, 503, '... also with a body that nobody has read');
ok($unread->{complete}, '... completely');
touch($busy);
is($first->response->{body}, 'answer', 'the thread is free again');
for (0 .. 2) {
    ok(wait_for(sub { -e "$files[$_].begun" }), "request @{[$_ + 1]} is next");
    is(scalar(grep { -e "$_.begun" } @files), $_ + 1, '... and no other');
    touch($files[$_]);
    is($waiting[$_]->response->{body}, 'answer', '... answered');
}

# ---- who goes away while it waits is not executed ---------------------------------------------------------------------
for my $round (1 .. 5) {
    ($busy, $first) = occupy('short');
    my $gone = file();
    my $goes = get("/short/answers?$gone");
    my ($next, $file) = (undef, file());
    ok($goes->silent(0.1), "round $round: a request waits");
    $next = get("/short/answers?$file");
    ok($next->silent(0.1), '... another one behind it');
    $goes->abort;
    touch($_) for $file, $busy;
    is($_->response->{body}, 'answer', '... they are answered') for $first, $next;
    my $log;
    ok(wait_for(sub { ($log) = PyDaemonTest::slurp($server->dir . '/logs/access_log') =~ /^(\d+ .*\Q$gone\E pid=.*)$/m }), '... what nobody waits for any more ends, too');
    like($log // '', qr/^499 .* pid=-$/, '... without having been sent to a worker');
    ok(!-e "$gone.begun", '... nor executed');
}

# ---- Retry-After: when those who wait will have been served, at the pace of late ---------------------------------------
my $after = 0;
for (1 .. 8) {
    my $load = load($server->port, '/short/seen?x', 1);
    select undef, undef, undef, 1.5;    # many short requests; the manager counts each second
    $load->end;
    ($busy, $first) = occupy('short');
    @waiting = map { get("/short/answers?$busy") } 1 .. 3;
    wait_for(sub { $full = get('/short/seen?x')->response; $full->{status} == 503 });
    $after = $full->{headers}{'retry-after'}[0];
    touch($busy);
    $_->response for $first, @waiting;
    last if $after == 1;
}
is($after, 1, 'where each takes milliseconds, four of them take no second');

# ---- queue-timeout --------------------------------------------------------------------------------------------------
($busy, $first) = occupy('brief');
$begin = time;
my @late = map { get("/brief/answers?never$_") } 1 .. 5;
for (@late) {
    my $answer = $_->response;
    is($answer->{status}, 503, 'waited in vain: 503');
    my $took = time - $begin;
    cmp_ok($took, '>=', 0.69, '... not too early');
    cmp_ok($took, '<', 3 * PyDaemonTest::Build::slowness(), '... nor too late');
    like($answer->{headers}{'retry-after'}[0], qr/^[1-9]\d*$/, '... with Retry-After');
}
is(scalar(() = $server->log_text =~ m{PYD0202: no thread of 'brief' was free within queue-timeout \((?:0\.[789]|[1-9]\d*\.\d) s\): GET /brief/answers\?never\d answered 503}g),
    5, '... each logged');
touch($busy);
is($first->response->{body}, 'answer', 'what the thread worked on is answered');
is(get("/brief/answers?$busy")->response->{body}, 'answer', '... and what comes then');

# ---- queue-timeout off: waits as long as it takes --------------------------------------------------------------------
($busy, $first) = occupy('none');
my $patient = get("/none/answers?$busy");
ok($patient->silent(1.2), 'queue-timeout=0: waits');
touch($busy);
is($patient->response->{body}, 'answer', '... and is answered');

# ---- a body waits with its request -----------------------------------------------------------------------------------
($busy, $first) = occupy('short');
my $post = client($server->port, "POST /short/reads?body HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
ok($post->silent(0.2), 'no 100 while it waits');
touch($busy);
is($post->response->{status}, 100, '100 when the application reads');
$post->send('x' x 100_000);
is($post->response->{body}, 'read', '... and the body is whole');

# ---- httpd stops while requests wait ---------------------------------------------------------------------------------
($busy, $first) = occupy('short');
@waiting = map { get('/short/answers?never') } 1 .. 2;
my $reading = client($server->port, "POST /brief/reads?x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx");
ok($waiting[1]->silent(0.2), 'requests wait, one of them for its body');
$begin = time;
my $stopped = background(sub { [ $server->stop ] });
wait_for(sub { $server->log_text =~ /AH00169|SIGTERM/ });
ok($stopped->result->[0], 'httpd stops');
cmp_ok(time - $begin, '<', 20, '... before its patience ends');

$server->announce(qr/PYD0201/, qr/PYD0202/);
$server->tolerate(qr/PYD0805: .*requests are still running/);
finish();
