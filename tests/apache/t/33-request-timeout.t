# SPDX-License-Identifier: Apache-2.0
# request-timeout: the client gets 504 at the deadline, whatever keeps the application, and nobody else is disturbed.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;
use Time::HiRes qw(time);

my $slowness = PyDaemonTest::Build::slowness();
my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess plain threads=4 request-timeout=1 shutdown-timeout=1
PyDaemonAlias /plain @apps@/overdue.py group=plain
PyDaemonProcess holds threads=4 request-timeout=1500ms shutdown-timeout=1
PyDaemonAlias /holds @apps@/overdue.py group=holds
PyDaemonProcess frozen threads=4 request-timeout=1 shutdown-timeout=1
PyDaemonAlias /frozen @apps@/overdue.py group=frozen
PyDaemonProcess blocked threads=4 request-timeout=2 shutdown-timeout=1
PyDaemonAlias /blocked @apps@/overdue.py group=blocked
PyDaemonProcess off threads=4 request-timeout=off shutdown-timeout=1
PyDaemonAlias /off @apps@/overdue.py group=off
PyDaemonProcess posts threads=4 request-timeout=1 shutdown-timeout=1
PyDaemonAlias /posts @apps@/overdue.py group=posts
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $never = "$dir/marks/never";
ok(wait_for(sub { 6 == (() = $server->log_text =~ /is ready after/g) }), 'all workers start');

sub ask { return client($server->port, "GET $_[0] HTTP/1.1\r\nHost: h\r\n\r\n") }

# A promise is 0.1 s; a busy host is not what is tested.
sub in_time { # BEGIN, SECONDS, WHAT
    my ($begin, $seconds, $what) = @_;
    my $took = time - $begin;
    cmp_ok($took, '>=', $seconds, "$what: not before the deadline");
    cmp_ok($took, '<', $seconds + 2 * $slowness, '... and soon after');
}

# ---- 504, and the others ---------------------------------------------------------------------------------------------
my ($worker) = $server->workers('plain');
# This one waits for its client: it does not run out of time, and is under way all the time.
my $other = client($server->port, "POST /plain?log=$dir/marks/other&read=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nx");
ok(wait_for(sub { -e "$dir/marks/other" }), 'a request is being executed');
my $begin = time;
my $late = ask("/plain/report?y=2&log=$dir/marks/late&wait=$never");
my $answer = $late->response;
is($answer->{status}, 504, 'too long: 504');
in_time($begin, 1, 'request-timeout=1');
ok($answer->{complete}, '... completely');
is(PyDaemonTest::slurp("$dir/marks/late"), "$worker\n", '... it was executed');
$late->send("GET /off HTTP/1.1\r\nHost: h\r\n\r\n");
is($late->response->{status}, 200, '... and the connection goes on');
$other->send('x' x 19);
is($other->response->{body}, "$worker 20\n", 'another request of that worker is finished');
is(curl($server->url('/plain'))->{status}, 200, 'the group serves');
my ($line) = $server->log_text =~ /^(.*PYD0(?:228|630):.*plain.*)$/m;
like($line // '', qr{\[pydaemon:error\] .*PYD0(?:228|630): mod_pydaemon \(pid=$worker\): Request time limit exceeded in 'plain': GET /plain/report\?y=2&log=\S+ ran (?:1\.\d|\d+\.\d) s of 1 s \(request \S{8,}, client 127\.0\.0\.1, thread \d+\)\.$},
    'one line says so');
like($server->log_text, qr{\[pydaemon:info\] .*GET /plain/report\?\S+ has exceeded request-timeout: answered 504$}m, '... and another one what the client got');

# ---- whatever keeps it -----------------------------------------------------------------------------------------------
my ($holder) = $server->workers('holds');
$begin = time;
my @held = (ask("/holds?log=$dir/marks/hold&hold=600"));
ok(wait_for(sub { -e "$dir/marks/hold" }), 'a C function keeps the interpreter to itself');
push @held, ask("/holds?log=$dir/marks/hold-2") for 1 .. 2;
is($held[0]->response->{status}, 504, '... 504');
in_time($begin, 1.5, 'request-timeout=1500ms');
is($_->response->{status}, 504, '... and so for whom it keeps waiting') for @held[ 1, 2 ];
ok(!-e "$dir/marks/hold-2", '... in vain');
like($server->log_text, qr{PYD0(?:228|630): mod_pydaemon \(pid=$holder\): .*hold=600 ran \d+\.\d s of 1\.5 s}, '... which the log says');

my ($frozen) = $server->workers('frozen');
PyDaemonTest::Process::halt($frozen);
$begin = time;
my $answered = ask("/frozen?log=$dir/marks/frozen")->response;
is($answered->{status}, 504, 'the worker is stopped: 504');
in_time($begin, 1, '... too');
like($server->log_text, qr{PYD0(?:228|630): mod_pydaemon \(pid=$frozen\): .*marks/frozen ran .*, not begun\)},
    '... and the log says that it was not begun');
kill CONT => $frozen;
is(curl($server->url("/frozen?log=$dir/marks/after"))->{status}, 200, '... when it goes on, the group serves');
ok(wait_for(sub { -e "$dir/marks/after" }), '... the next request');
ok(!-e "$dir/marks/frozen", '... but does not execute what was answered');

# ---- the body ---------------------------------------------------------------------------------------------------------
# What the application has not read is not waited for.
$begin = time;
$answered = client($server->port, "POST /posts?wait=$never HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx")->response;
is($answered->{status}, 504, 'a body nobody reads: 504');
in_time($begin, 1, '... with it');
ok($answered->{complete}, '... complete');
# A body that is malformed is still the client's mistake.
$answered = client($server->port, "POST /posts?read=1&wait=$never HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnone\r\n")->response;
is($answered->{status}, 400, 'a bad body: as always');

# ---- who finds it first -----------------------------------------------------------------------------------------------
# While httpd's children stand still one application is done in time, the other is not: the manager says so, but what
# had come in time is passed on.
my %managers = map { ($_ => 1) } $server->managers;
my @children = grep { PyDaemonTest::Process::parent($_) == $server->pid && !$managers{$_} } $server->processes;
my ($done, $hangs) = map { ask("/blocked?log=$dir/marks/$_&wait=$dir/marks/$_-go&log=$dir/marks/$_-done") } 'done', 'hangs';
ok(wait_for(sub { -e "$dir/marks/done" && -e "$dir/marks/hangs" }), 'two requests are being executed');
PyDaemonTest::Process::halt($_) for @children;
open my $out, '>', "$dir/marks/done-go" or die;
close $out;
ok(wait_for(sub { -e "$dir/marks/done-done" }), '... one is done, when httpd stands still');
ok($server->wait_for_log(qr/PYD0630: .*Request time limit exceeded in 'blocked': GET \S+hangs/), '... the other is late');
kill CONT => @children;
is($done->response->{status}, 200, '... which gets its answer');
is($hangs->response->{status}, 504, '... which gets 504');

# ---- off --------------------------------------------------------------------------------------------------------------
my $patient = ask("/off?wait=$dir/marks/go");
ok($patient->silent(2.2), 'request-timeout=off: it may take its time');
open my $go, '>', "$dir/marks/go" or die;
close $go;
is($patient->response->{status}, 200, '... and is answered');

# On a host that stalls the manager may be the first to see it (PYD0630).
my $lines = () = $server->log_text =~ /Request time limit exceeded/g;
is($lines, 7, 'one line for each');
$server->announce(qr/PYD0228/);
$server->tolerate(qr/PYD0[678]\d\d: /, qr/Traceback|OSError|  File "|PYD0214/);
finish();
