# SPDX-License-Identifier: Apache-2.0
# A group whose workers have all gone for inactivity-timeout has one again as soon as a request comes.
use PyDaemonTest;
use Time::HiRes qw(time);

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess naps threads=2 inactivity-timeout=1 shutdown-timeout=1
PyDaemonAlias / @apps@/overdue.py group=naps
CONF
ok($server->wait_for_log(qr/is ready after/), 'the worker starts');

# Workers are sent to sleep, and looked at, once a second: right behind that, who does not wake the manager would wait
# for the most of a second.
my $fastest = 99;
for my $round (1 .. 4) {
    is(curl($server->url('/'))->{status}, 200, "round $round: an answer");
    ok(wait_for(sub { !$server->workers('naps') }, 20), '... and the worker is gone');
    ok(wait_for(sub { $round == (() = $server->log_text =~ /Worker \d of 'naps' ended/g) }), '... which the log says');
    my $starts = () = $server->log_text =~ /Starting worker \d of 'naps'/g;
    my $request = fork // die "fork: $!";
    if (!$request) {
        curl($server->url('/'));
        POSIX::_exit(0);
    }
    my $begin = time;
    ok(wait_for(sub { $starts < (() = $server->log_text =~ /Starting worker \d of 'naps'/g) }), '... until there is a request');
    my $took = time - $begin;
    $fastest = $took if $took < $fastest;
    waitpid $request, 0;
}
cmp_ok($fastest, '<', 0.4, 'the manager is woken by who waits');
finish();
