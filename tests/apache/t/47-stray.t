# SPDX-License-Identifier: Apache-2.0
# What comes on a connection that no request uses is nobody's response.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess stray threads=2
PyDaemonAlias / @apps@/stray.py group=stray
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";

ok(wait_for(sub { curl($server->url('/'))->{status} == 200 }), 'serves');
my ($worker) = $server->workers;

# Two requests at a time, each on a connection of its own; when the first one has ended the other one writes to its.
my $first = background(sub { curl($server->url("/first?mark=$dir/marks/first&wait=$dir/marks/go")) });
ok(wait_for(sub { -s "$dir/marks/first" }), 'a request runs');
cmp_ok(PyDaemonTest::slurp("$dir/marks/first"), '>=', 1, '... on a connection');
open my $go, '>', "$dir/marks/go" or die $!;
is($first->result->{body}, "first\n", '... and ends');
is(curl($server->url('/stray'))->{status}, 200, 'another one writes to the connections of before');
my %bodies;
$bodies{ curl($server->url('/'))->{body} }++ for 1 .. 40;
is_deeply(\%bodies, { "right\n" => 40 }, '... which is no response to anybody');
ok($server->wait_for_log(qr/PYD0226: worker pid=$worker of 'stray' sent something to no request/), '... the log says so');
is_deeply([ $server->workers ], [$worker], '... the worker goes on');

$server->announce(qr/PYD0226/);
finish();
