# SPDX-License-Identifier: Apache-2.0
# Values of options that are refused, by a message with the option, the value, and what would be right; and limits of
# what is accepted.
use PyDaemonTest;

my @refused = (
    # option => what the message has to say, besides the option and the value
    [ 'processes=0', qr/1 to 1000.*auto/ ], [ 'processes=1001', qr/1 to 1000/ ], [ 'processes=-1', qr/1 to 1000/ ],
    [ 'processes=Auto2', qr/auto/ ], [ 'processes=', qr/1 to 1000/ ], [ 'processes=2.5', qr/whole number/ ],
    [ 'processes=0x10', qr/whole number/ ], [ 'processes=off', qr/1 to 1000/ ],
    [ 'processes=99999999999999999999', qr/1 to 1000/ ],
    [ 'threads=off', qr/1 to 1000/ ], [ 'threads=1e3', qr/whole number/ ],
    [ 'umask=8', qr/octal/ ], [ 'umask=1000', qr/octal.*777/ ], [ 'umask=rwx', qr/octal/ ],
    [ 'queue-limit=10001', qr/10000/ ], [ 'queue-limit=5K', qr/whole number/ ],
    [ 'queue-timeout=1d', qr/30 \(seconds\)|500ms/ ], [ 'queue-timeout=1.5', qr/time/ ], [ 'queue-timeout=-1', qr/time/ ],
    [ 'queue-timeout=1001h', qr/1000h/ ], [ '"startup-timeout=5 s"', qr/500ms/ ],
    [ 'shutdown-timeout=off', qr/1ms to 1h/ ], [ 'shutdown-timeout=0', qr/1ms to 1h/ ], [ 'shutdown-timeout=2h', qr/1h/ ],
    [ 'socket-timeout=x', qr/time/ ], [ 'cpu-priority=20', qr/-20 to 19/ ], [ 'cpu-priority=-21', qr/-20 to 19/ ],
    [ 'stack-size=64K', qr/256K/ ], [ 'stack-size=2G', qr/1G/ ], [ 'stack-size=8MB', qr/size/ ],
    [ 'open-files=64', qr/65 to 1048576/ ], [ 'core-size=lots', qr/unlimited/ ],
    [ 'request-timeout=1us', qr/1ms to 1000h, or off/ ], [ 'request-timeout=forever', qr/time/ ],
    [ 'deadlock-timeout=1s', qr/2s to 1000h, or off/ ], [ 'deadlock-timeout=60x', qr/time/ ],
    [ 'graceful-timeout=-30', qr/1ms to 1000h, or off/ ], [ 'inactivity-timeout=1d', qr/1ms to 1000h, or off/ ],
    [ 'maximum-requests=-1', qr/1 to 2147483647, or off/ ], [ 'maximum-requests=10K', qr/whole number/ ],
    [ 'maximum-requests-jitter=51', qr/0 to 50/ ], [ 'maximum-requests-jitter=10%', qr/0 to 50/ ],
    [ 'restart-interval=1.5h', qr/1ms to 1000h, or off/ ], [ 'restart-interval-jitter=-5', qr/0 to 50/ ],
    [ 'memory-limit=512K', qr/at least 1M, or off/ ], [ 'memory-limit=300MB', qr/at least 1M, or off/ ],
    [ 'memory-hard-limit=75%', qr/at least 1M, or off/ ], [ 'cpu-time-limit=unlimited', qr/1ms to 1000h, or off/ ],
    [ 'slow-request=0.5', qr/1ms to 1000h, or off/ ], [ 'max-requests=5', qr/did you mean 'maximum-requests'/ ],
    [ 'memory-hard-limit=64M memory-limit=65M', qr/memory-hard-limit=64M is below memory-limit=65M.*above it, or off/ ],
    [ 'memory-limit=1G memory-hard-limit=1023M', qr/memory-hard-limit=1023M is below memory-limit=1G.*above it, or off/ ],
    [ 'slow-request=1m', qr/slow-request=1m is not below request-timeout=1m.*below it, or off/ ],
    [ 'request-timeout=5 slow-request=5001ms', qr/slow-request=5001ms is not below request-timeout=5s.*below it, or off/ ],
    [ 'env=NAME', qr/KEY=VALUE/ ], [ 'env==x', qr/KEY=VALUE|name/ ],
    [ 'user=', qr/empty|text/ ], [ 'home=', qr/empty|text/ ], [ 'python=', qr/empty|text/ ], [ 'lang=', qr/empty|text/ ],
    [ 'nonsense', qr/The options are: processes, threads, / ], [ 'nonsense=1', qr/The options are: processes, threads, / ], [ 'thread=5', qr/threads/ ], [ 'home-dir=x', qr/did you mean 'home'/ ],
    [ '.uid=0', qr/no option '\.uid'/ ], [ '.user-name=1', qr/no option/ ], [ 'Threads=5', qr/threads/ ],
    [ 'open-files=65', qr/threads=15: at least/ ], [ 'threads=5 threads=5', qr/twice/ ], [ 'python=/a python-home=/b', qr/twice/ ],
    [ 'user=root', qr/never run as root/ ], [ 'user=#0', qr/never run as root/ ], [ 'user=#000', qr/never run as root/ ],
    [ 'group=root', qr/never run as root/ ], [ 'group=#0', qr/never run as root/ ],
    [ '"env=A=1', qr/quot/ ],
);
my $server = start_server(start => 0, modules => 0, conf => '');
for my $case (@refused) {
    my ($option, $right) = @$case;
    $server->write_conf("\n# a comment\nPyDaemonProcess group-x $option");
    my ($status, $output) = $server->configtest;
    isnt($status, 0, "refused: $option");
    my ($key, $value) = $option =~ /^"?([^= ]*)=?([^ "]*)/;
    like($output, qr/line (\d+) of \S+httpd\.conf/, '... where');
    is(($output =~ /line (\d+) of/)[0] // 0, conf_lines(), '... the very line');
    like($output, qr/PyDaemonProcess/, '... names the directive');
    like($output, qr/\Q$key\E/, '... the option') unless $option =~ /^"/;
    like($output, qr/\Q$value\E/, '... the value') if length $value && $option !~ /^"/;
    like($output, $right, '... and what would be right');
}

sub conf_lines { # the number of the last line
    my @lines = split /\n/, PyDaemonTest::slurp($server->dir . '/httpd.conf');
    return scalar @lines;
}

# All at once: a group each, both ends of the ranges, and all ways to write them.
my @accepted = map { split ' ' } 'processes=auto processes=1 threads=1 threads=16 umask=0 umask=0777 umask=27 cpu-priority=-20
    cpu-priority=19 cpu-priority=off stack-size=256K stack-size=1G stack-size=8m stack-size=off stack-size=0 open-files=1048576
    open-files=off core-size=0 core-size=unlimited core-size=off core-size=10M queue-limit=1 queue-limit=off queue-limit=0
    queue-timeout=500ms queue-timeout=45 queue-timeout=45s queue-timeout=5m queue-timeout=1h queue-timeout=off queue-timeout=0
    startup-timeout=off shutdown-timeout=1ms socket-timeout=off socket-timeout=3s env=A= env=A=b=c env=_x1=5
    request-timeout=1ms request-timeout=1000h request-timeout=off request-timeout=0 deadlock-timeout=2 deadlock-timeout=off
    graceful-timeout=500ms graceful-timeout=off inactivity-timeout=10m inactivity-timeout=0 maximum-requests=1
    maximum-requests=2147483647 maximum-requests=off maximum-requests-jitter=0 maximum-requests-jitter=50
    maximum-requests-jitter=off restart-interval=24h restart-interval=off restart-interval-jitter=0
    restart-interval-jitter=50 memory-limit=1M memory-limit=300m memory-limit=off memory-hard-limit=2G
    memory-hard-limit=off cpu-time-limit=1h cpu-time-limit=0 slow-request=59s slow-request=off
    supplementary-groups= lang=C locale=C.UTF-8 display-name=%{GROUP} display-name=x';
push @accepted, 'memory-limit=300M memory-hard-limit=300M', 'slow-request=5m request-timeout=off',
    'slow-request=4999ms request-timeout=5';
push @accepted, 'open-files=65 threads=1', '"env=TITLE=My site"', 'env="TITLE=My site"', "'display-name=two words'", 'env=A=1 env=B=2 env=A=3';
my $number = 0;
$server->write_conf(join "\n", map { "PyDaemonProcess g" . ++$number . " $_" } @accepted);
my ($status, $output) = $server->configtest;
is($status, 0, "accepted: @accepted") or diag $output;

finish();
