# SPDX-License-Identifier: Apache-2.0
# What an application writes, by whatever way: once, as whole lines, at a fitting level, in its own vhost's log.
use PyDaemonTest;

my $server = start_server(ports => 2, log_level => 'info', conf => <<'END');
<VirtualHost 127.0.0.1:@port@>
    ErrorLog "@dir@/logs/one_error_log"
    PyDaemonProcess one threads=25
    PyDaemonAlias / "@apps@/logs.py" group=one
</VirtualHost>
<VirtualHost 127.0.0.1:@port2@>
    ErrorLog "@dir@/logs/two_error_log"
    PyDaemonProcess two threads=25
    PyDaemonAlias / "@apps@/logs.py" group=two
</VirtualHost>
END

sub lines { # LOG, TOKEN: its lines with the token
    my ($log, $token) = @_;
    return grep { /\Q$token\E/ } split /\n/, PyDaemonTest::slurp($server->dir . "/logs/$log");
}

my %level = (stdout => 'notice', stderr => 'warn', errors => 'error', logging => 'warn', fd1 => 'warn', fd2 => 'warn',
    c => 'warn', child => 'warn', fork => 'notice', bytes => 'warn', surrogate => 'notice', latin => 'notice',
    unraisable => 'warn', thread => 'warn');
# What the line looks like after httpd's prefix, where it is not the token alone.
my %text = ('stdout-pieces' => 'TOKEN in pieces', 'stderr-pieces' => 'TOKEN in pieces',
    'errors-pieces' => 'TOKEN in pieces', logging => 'WARNING from shop: TOKEN', bytes => '\\x1b[31m\\xff\\xfe TOKEN ? end',
    'errors-bytes' => '\\x1b[31m\\xff\\xfe TOKEN\\r\\x01 end', surrogate => 'TOKEN \\\\udcff end',
    latin => 'TOKEN na\\xc3\\xafve \\xe2\\x82\\xac end', unraisable => 'RuntimeError: TOKEN',
    'thread-dies' => 'RuntimeError: TOKEN', 'errors-nul' => '?before TOKEN after?');
my @ways = qw(stdout stdout-flushed stdout-unfinished stdout-pieces stdout-buffer stderr stderr-pieces errors
    errors-unfinished errors-pieces errors-thread errors-late errors-nul errors-bytes logging fd1 fd2 c-stdout
    child-stdout child-stderr fork bytes surrogate latin unraisable thread-dies);

for my $way (@ways) {
    my $token = "mark-$way-$$";
    is(curl("http://127.0.0.1:" . $server->port(2) . "/$way?$token")->{body}, "done\n", "$way: answered");
    wait_for(sub { lines('two_error_log', $token) });
    my @lines = lines('two_error_log', $token);
    is(scalar(@lines), 1, "... is logged once") or diag @lines;
    my ($kind) = $way =~ /^(\w+)/;
    like($lines[0] // '', qr/ \[pydaemon:$level{$kind}\] /, "... at $level{$kind}");
    my $text = ($text{$way} // 'TOKEN') =~ s/TOKEN/$token/r;
    ok(defined $lines[0] && substr($lines[0], -length $text) eq $text, "... as '$text'") or diag $lines[0] // 'nothing';
    is(join('|', lines('one_error_log', $token), lines('error_log', $token)), '', '... and nowhere else');
}

# What comes in-band bears the request's client; what comes by the pipe, which worker wrote it.
my ($worker) = $server->workers('two');
like((lines('two_error_log', "mark-errors-$$"))[0], qr/\[client 127\.0\.0\.1:\d+\]/, 'wsgi.errors: with the client');
like((lines('two_error_log', "mark-stdout-$$"))[0], qr/\(pid=$worker\)/, 'stdout: with the worker');

$server->announce(map { qr/$_/ } "mark-", 'Exception in thread', 'Exception ignored', 'Traceback', 'File "', 'raise RuntimeError');
$server->tolerate(qr/logs\.py|threading\.py|self\.run|self\._target|~~~~|\^\^\^\^/);
finish();
