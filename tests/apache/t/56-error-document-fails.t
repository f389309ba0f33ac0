# SPDX-License-Identifier: Apache-2.0
# An ErrorDocument that fails in its turn is not called again: httpd's own page, and the first failure's status.
use PyDaemonTest;

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
my $runs = "$dir/runs/all";
mkdir "$dir/runs" or die $!;
chmod 0777, "$dir/runs" or die $!;
my $options = "run=$runs";
$server->write_conf(<<"END");
<Location />
    Require all granted
</Location>
PyDaemonProcess failing processes=2
PyDaemonAlias /app "\@apps\@/fails_later.py" group=failing
ErrorDocument 500 /app/document?$options&raise=1
ErrorDocument 502 /app/document?$options&exit=3
ErrorDocument 503 /app/document?$options&raise=1
ErrorDocument 404 /app/document?$options&status=404
ErrorDocument 403 /app/document?$options
ErrorDocument 410 /app/document?$options&exit=3
<Location /app>
    PyDaemonErrorOverride On
</Location>
END
$server->start;

my @cases = (
    # what the first one does, status, who has run, whose page
    [ 'raise=1', 500, "/first\n/document\n", 'httpd' ],
    [ 'exit=3', 502, "/first\n/document\n", 'httpd' ],
    [ 'status=503', 503, "/first\n/document\n", 'httpd' ],
    [ 'status=410', 410, "/first\n/document\n", 'httpd' ],
    [ 'status=404', 404, "/first\n/document\n", 'httpd' ],
    [ 'status=403', 403, "/first\n/document\n", 'application' ],
);
for my $case (@cases) {
    my ($step, $status, $who, $page) = @$case;
    unlink $runs;
    my $answer = curl($server->url("/app/first?$options&$step"));
    is($answer->{status}, $status, "$step: the status of the first failure");
    is(PyDaemonTest::slurp($runs), $who, '... each was run once');
    ($page eq 'httpd' ? \&unlike : \&like)->($answer->{body}, qr/of the application/, "... the page of $page");
}
unlike($server->log_text, qr/AH00124/, 'httpd has not counted up to LimitInternalRecursion');

$server->announce(qr/PYD0214/, qr/PYD0210/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )|PYD06\d\d/);
finish();
