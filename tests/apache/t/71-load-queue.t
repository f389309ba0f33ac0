# SPDX-License-Identifier: Apache-2.0
# 200 connections for 10 request threads: most requests wait in the queue, all are answered, in fair order.
use PyDaemonTest;
use PyDaemonTest::Load;

my $mpm = roomy_mpm(200);
my $server = start_server(log_level => 'warn', conf => <<END);
$mpm
MaxKeepAliveRequests 0
# Twice as many as connections: requests of the run before, whose clients have gone, may still wait in a slow build.
PyDaemonProcess few processes=2 threads=5 queue-limit=400
PyDaemonAlias / "\@apps\@/waiting.py" group=few
END
ok($server->wait_until(sub { $server->workers('few') == 2 && curl($server->url('/'))->{status} == 200 }, 20), 'ready');
my $seconds = load_seconds() / ($ENV{PYD_TEST_LOAD_SECONDS} ? 1 : 2);

sub run_for {
    my ($how_long) = @_;
    my $result = finish_load(start_load('queue.lua', $server->url('/'), $how_long, 200));
    cmp_ok($result->{requests}, '>', 10 * $how_long, "$result->{requests} requests");
    is($result->{bad_status} + $result->{status}, 0, '... each answered 200') or diag $result->{first_bad};
    is($result->{$_}, 0, "... without a $_ error") for qw(connect read write timeout);
    cmp_ok($result->{queued}, '>', $result->{requests} / 2, '... of which most had to wait');
    # In order of arrival, who waits long does so with others; who was passed over would be alone with it. How long that is
    # depends on the host: a second without its CPUs is one for many.
    ok($result->{longest_wait_ms} < 1000 || $result->{crowd} > 3,
        "... $result->{longest_wait_ms} ms at most; $result->{crowd} waited at least half as long");
    return $result;
}

# What wrk gave up when its time was over waits in the queue for some 0.1 s more, and would leave no room for 200 others.
sub quiet {
    return wait_for(sub { (curl($server->url('/'))->{body} =~ /waited (\d+) ms/ ? $1 : 1000) < 20 }, 10);
}

run_for(int($seconds / 3) || 1);
ok(quiet(), 'quiet again');
my @processes = $server->processes;
my $before = footprint(@processes);
my $result = run_for($seconds);
# httpd's threads, 200 in each child, keep what their largest request needed: 32 KiB for each that was not warm before.
check_flat($before, footprint(@processes), $result->{requests}, 512, 130, 6400);
ok(quiet(), 'and then it is quiet again');
finish();
