# SPDX-License-Identifier: Apache-2.0
# What the access log can tell: how long a request waited, how long the application took, which worker it was.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'CONF');
<Location />
    Require all granted
</Location>
LogFormat "%U %>s queue=%{pydaemon_queue_us}n app=%{pydaemon_app_us}n pid=%{pydaemon_worker_pid}n first=%<{pydaemon_app_us}n" notes
CustomLog "@dir@/logs/access_log" notes
PyDaemonProcess notes threads=1 request-timeout=2 shutdown-timeout=1
PyDaemonAlias /notes @apps@/overdue.py group=notes
PyDaemonProcess full threads=1 queue-timeout=500ms shutdown-timeout=1
PyDaemonAlias /full @apps@/overdue.py group=full
PyDaemonProcess dies threads=2 shutdown-timeout=1
PyDaemonAlias /dies @apps@/fate.py group=dies
PyDaemonProcess pages threads=2 shutdown-timeout=1
PyDaemonAlias /pages @apps@/overdue.py group=pages
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    CustomLog "@dir@/logs/access_log" notes
    ErrorDocument 503 /plain.html
    ErrorDocument 504 /plain.html
    ErrorDocument 502 /pages/app
</VirtualHost>
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
$server->write_file('htdocs/plain.html', "a page\n");
my $second = 'http://127.0.0.1:' . $server->port(2);
ok(wait_for(sub { 4 == (() = $server->log_text =~ /is ready after/g) }), 'all workers start');

my $seen = 0;
sub logged { # the next line, as a hash; only one request at a time
    my $line;
    wait_for(sub { my @lines = split /\n/, PyDaemonTest::slurp("$dir/logs/access_log"); $line = $lines[$seen]; defined $line })
        or return {};
    ++$seen;
    my %note = $line =~ /(\w+)=(\S+)/g;
    @note{qw(path status)} = split / /, $line;
    return \%note;
}
my ($worker) = $server->workers('notes');

# ---- answered ----------------------------------------------------------------------------------------------------------
is(curl($server->url('/notes'))->{status}, 200, 'an answer');
my $note = logged();
is("$note->{path} $note->{status}", '/notes 200', '... logged');
like($note->{queue}, qr/^\d+$/, '... with the time it waited');
like($note->{app}, qr/^[1-9]\d*$/, '... the time the application took');
is($note->{pid}, $worker, '... and the worker');

my $file = "$dir/marks/go";
my $first = client($server->port, "GET /notes/a?log=$dir/marks/begun&wait=$file HTTP/1.1\r\nHost: h\r\n\r\n");
ok(wait_for(sub { -e "$dir/marks/begun" }), 'the only thread is busy');
my $waits = client($server->port, "GET /notes/b HTTP/1.1\r\nHost: h\r\n\r\n");
ok($waits->silent(0.2), 'a request waits');
open my $out, '>', $file or die;
close $out;
is($_->response->{status}, 200, '... answered') for $first, $waits;
my %by_path = map { ($_->{path} => $_) } logged(), logged();
cmp_ok($by_path{'/notes/a'}{app}, '>=', 200_000, 'the time in the application');
cmp_ok($by_path{'/notes/b'}{queue}, '>=', 150_000, 'the time in the queue');
cmp_ok($by_path{'/notes/b'}{app}, '<', $by_path{'/notes/b'}{queue}, '... which is none of the application');

is(curl($server->url('/notes?raise=1'))->{status}, 500, 'an exception');
$note = logged();
is("$note->{status} $note->{pid}", "500 $worker", '... has them');
like($note->{app}, qr/^[1-9]\d*$/, '... all');

# ---- not answered --------------------------------------------------------------------------------------------------------
my ($doomed) = $server->workers('dies');
is(curl($server->url('/dies?signal=9'))->{status}, 502, 'a worker that dies');
$note = logged();
is("$note->{status} $note->{pid}", "502 $doomed", '502: the worker that died');
like("$note->{queue} $note->{app}", qr/^\d+ [1-9]\d*$/, '... and the times');
is(curl("$second/dies?signal=9")->{status}, 502, '... with a page that is an application');
$note = logged();
is($note->{status}, 502, '502 with such a page');
is($note->{pid}, ($server->workers('pages'))[0], '... %n is of what answered in the end');
like($note->{first}, qr/^[1-9]\d*$/, '... and %<n of the request');
isnt($note->{first}, $note->{app}, '... each has its own');

unlink "$dir/marks/begun";
$first = client($server->port(2), "GET /full?log=$dir/marks/begun&wait=$dir/marks/full HTTP/1.1\r\nHost: h\r\n\r\n");
ok(wait_for(sub { -e "$dir/marks/begun" }), 'the only thread is busy');
my $answer = curl("$second/full/no");
is("$answer->{status} $answer->{body}", "503 a page\n", '503 with a page');
$note = logged();
is("$note->{path} $note->{status} $note->{app} $note->{pid}", '/full/no 503 0 -', '503: it came by no worker');
cmp_ok($note->{queue}, '>=', 500_000, '... waiting for so long');
open $out, '>', "$dir/marks/full" or die;
close $out;
is($first->response->{status}, 200, 'the thread is free again');
logged();

$answer = curl("$second/notes/late?wait=$dir/marks/never");
is("$answer->{status} $answer->{body}", "504 a page\n", '504 with a page');
$note = logged();
is("$note->{path} $note->{status} $note->{pid}", "/notes/late 504 $worker", '504: which worker it was');
cmp_ok($note->{app}, '>=', 2_000_000, '... and that it took too long');

SKIP: {
    skip 'no HTTP/2 with prefork', 1 if PyDaemonTest::Build::mpm() eq 'prefork';
    my ($pages) = $server->workers('pages');
    is(curl($server->url('/pages'), '--http2-prior-knowledge')->{status}, 200, 'HTTP/2');
    $note = logged();
    is($note->{pid}, $pages, '... has them');
}

is(curl($server->url('/plain.html'))->{status}, 200, 'a file');
$note = logged();
is("$note->{queue} $note->{app} $note->{pid}", '- - -', '... has none');

$server->announce(qr/Request time limit exceeded/, qr/PYD0202/, qr/PYD0210/, qr/PYD0601/, qr/PYD0214/);
$server->tolerate(qr/PYD0[678]\d\d: /, qr/Traceback|  File "|raise |RuntimeError|application\(/);
finish();
