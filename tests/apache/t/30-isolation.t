# SPDX-License-Identifier: Apache-2.0
# A worker has the descriptors and the memory it was given, and nothing of httpd or of another group.
use PyDaemonTest;
use PyDaemonTest::Client;

need_root();
need_httpd_module('ssl');
my $server = start_server(start => 0, ports => 2, conf => '');
my $dir = $server->dir;

# A certificate; in the DER form of its key the private numbers are as OpenSSL's functions have read them.
system("openssl req -x509 -newkey rsa:2048 -nodes -batch -days 2 -subj /CN=localhost -addext basicConstraints=CA:FALSE -keyout $dir/key.pem -out $dir/cert.pem 2>/dev/null") == 0
    or die 'openssl cannot make a key';
chmod 0600, "$dir/key.pem";
$server->write_conf(<<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess one processes=2 threads=3
PyDaemonAlias /one @apps@/fate.py group=one
PyDaemonProcess two user=games core-size=0
PyDaemonAlias /two @apps@/fate.py group=two
<VirtualHost 127.0.0.1:@port2@>
    SSLEngine On
    SSLCertificateFile @dir@/cert.pem
    SSLCertificateKeyFile @dir@/key.pem
    ErrorLog @dir@/logs/tls_error_log
    PyDaemonProcess three
    PyDaemonAlias / @apps@/fate.py group=three
</VirtualHost>
CONF
{
    # What started httpd may have left it an open file.
    local $^F = 200;
    open my $leaked, '<', "$dir/key.pem" or die $!;
    $server->start;
}
is(scalar(grep { (readlink // '') eq "$dir/key.pem" } glob '/proc/' . $server->pid . '/fd/*'), 1, 'httpd has inherited a descriptor');
ok(wait_for(sub { 4 == (() = $server->log_text =~ /is ready after/g) }), 'workers start');
is(curl('https://127.0.0.1:' . $server->port(2) . '/', '-k')->{status}, 200, 'a request by TLS');
is(curl($server->url("/$_"))->{status}, 200, "a request for $_") for qw(one two);

# Meanwhile a connection to a worker, and httpd's own client, are open.
my $client = client($server->port, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
is($client->response->{status}, 200, 'a kept connection');

sub links { # PID: descriptor number => what it is
    my ($pid) = @_;
    return map { my ($number) = m{(\d+)$}; my $what = readlink; defined $what ? ($number => $what) : () } glob "/proc/$pid/fd/*";
}

my %httpds = map { my %links = links($_); map { $_ => 1 } values %links } $server->pid;
my $tcp = PyDaemonTest::slurp('/proc/net/tcp');
my %kernel = map { (split)[9] => 1 } split /\n/, $tcp;

# Exactly these, always; and beside them what the interpreter and epoll need.
my %fixed = (
    0 => qr{^/dev/null$},
    1 => qr{^pipe:},            # its own log pipe
    2 => qr{^pipe:},
    3 => qr{^socket:},          # rendezvous
    4 => qr{^/memfd:pydaemon status},
    5 => qr{^socket:},          # control
    6 => qr{^pipe:},            # lifeline
    7 => qr{^/memfd:pydaemon lock},
);
for my $pid ($server->workers) {
    my $title = PyDaemonTest::Process::title($pid);
    my %links = links($pid);
    for my $number (sort keys %fixed) {
        like($links{$number} // 'nothing', $fixed{$number}, "$title: descriptor $number");
    }
    is($links{1}, $links{2}, '... stdout and stderr are the same pipe');
    my @others = grep { !$fixed{$_} } keys %links;
    # Connections of httpd's children come by the rendezvous socket; the pipe is for its own signals; files in memory
    # are for stacks: its own, and once more the status file, with a place of its own in it to write a crash to.
    my @strange = grep { $links{$_} !~ m{^anon_inode:\[event(?:poll|fd)\]$|^socket:|^pipe:|^/memfd:pydaemon(?: status|-stacks) } } @others;
    is(join(', ', map { "$_: $links{$_}" } @strange), '', '... no other files');
    is(scalar(grep { $links{$_} =~ /^socket:\[(\d+)\]/ && $kernel{$1} } keys %links), 0, '... no TCP socket');
    cmp_ok(scalar(grep { $links{$_} =~ /^pipe:/ } @others), '<=', 2, '... no other pipe than one of its own');

    # The limits of what a lock descriptor allows: nothing but to ask.
    my ($flags) = PyDaemonTest::slurp("/proc/$pid/fdinfo/7") =~ /^flags:\s+(\d+)/m;
    is(oct($flags) & 3, 3, '... the lock can be asked for, not taken');

    my $maps = PyDaemonTest::slurp("/proc/$pid/maps");
    is(join(' ', $maps =~ m{(\S*/(?:mod_\w+|libapr\S*|apache2|httpd)\S*)$}gm), '', '... no code of httpd');
    is(join(' ', grep { !/pydaemon.status/ } $maps =~ m{/memfd:(\S+ \S*)}g), '', '... no shared memory but its group\'s status');
    is(scalar(() = $maps =~ m{/memfd:pydaemon.status}g), 1, '... once');
    is(PyDaemonTest::slurp("/proc/$pid/status") =~ /^CapEff:\s+0+$/m, 1, '... no capabilities');
}

# Groups share nothing: neither sockets, pipes of theirs, nor memory. The lifeline and the lock are for all.
my %seen;
for my $pid ($server->workers) {
    my ($group) = PyDaemonTest::Process::title($pid) =~ /^\(pydaemon:(\w+)\)/;
    my %links = links($pid);
    delete @links{ 0, 6, 7 };
    $seen{$_}{$group} = 1 for grep { /^(?:socket|pipe):/ } values %links;
    my ($inode) = PyDaemonTest::slurp("/proc/$pid/maps") =~ m{ (\d+) +/memfd:pydaemon.status};
    $seen{"status inode $inode"}{$group} = 1;
}
is(join(', ', map { "$_: " . join ' ', sort keys %{ $seen{$_} } } grep { keys %{ $seen{$_} } > 1 } sort keys %seen), '', 'groups share nothing');

is(scalar(grep { (readlink // '') eq "$dir/key.pem" } map { glob "/proc/$_/fd/*" } $server->managers), 0, 'the manager has not what httpd inherited');

# httpd and the manager never load Python.
my %worker = map { $_ => 1 } $server->workers;
my @httpd = grep { !$worker{$_} } $server->processes;
cmp_ok(scalar @httpd, '>=', 3, 'httpd\'s processes, and the manager');
is(scalar(grep { PyDaemonTest::slurp("/proc/$_/maps") =~ /python/i } @httpd), 0, '... have no Python');

# The TLS key is in httpd's memory, and in no worker's.
my $text = `openssl rsa -in $dir/key.pem -noout -text 2>/dev/null`;
my @needles;
for my $name (qw(privateExponent prime1 prime2)) {
    my ($hex) = $text =~ /^$name:\s*\n((?:\s+[0-9a-f:]+\n)+)/m;
    $hex =~ s/[\s:]//g;
    my $bytes = pack 'H*', $hex;
    # OpenSSL keeps numbers as little-endian words.
    push @needles, substr($bytes, 32, 32), scalar reverse substr($bytes, 32, 32);
}
push @needles, (split /\n/, PyDaemonTest::slurp("$dir/key.pem"))[ 3, 10 ];

sub has_key { # PID: how many of the needles its memory has
    my ($pid) = @_;
    my %found;
    no warnings 'portable';
    open my $memory, '<:raw', "/proc/$pid/mem" or die "/proc/$pid/mem: $!";
    for (split /\n/, PyDaemonTest::slurp("/proc/$pid/maps")) {
        my ($start, $end, $what) = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)/ or next;
        next if $what =~ /^\[v/;
        my $left = hex($end) - hex($start);
        next if sanitized() && $left > 1 << 28;    # the sanitizer's shadow: terabytes of it
        sysseek $memory, hex $start, 0 or next;
        my $bytes = '';
        while ($left > 0 and my $count = sysread $memory, my $part, $left < 1 << 20 ? $left : 1 << 20) {
            $left -= $count;
            $bytes = (length $bytes > 64 ? substr $bytes, -64 : '') . $part;    # a needle may lie across the border
            $found{$_} = 1 for grep { index($bytes, $needles[$_]) >= 0 } 0 .. $#needles;
        }
    }
    return scalar keys %found;
}

cmp_ok(has_key($server->pid), '>=', 2, 'the TLS key is found in the memory of httpd\'s parent');

is(has_key($_), 0, '... not in that of ' . PyDaemonTest::Process::title($_)) for $server->workers;
finish();
