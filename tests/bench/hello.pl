#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# CPU microseconds per request of all server processes, hello application,
# kept-alive connections: this module beside Debian's mod_wsgi in daemon mode, in
# turns within one run, same MPM settings. Ratios are what to read; the absolute
# numbers depend on the machine.
#
#   tests/bench/hello.pl BUILDDIR [--seconds 5] [--rounds 5] [--connections 8]
#
# Needs wrk, apache2, libapache2-mod-wsgi-py3. Talks to 127.0.0.1 only; ends what it started.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use Getopt::Long;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h sysconf _SC_CLK_TCK);
use Time::HiRes qw(time sleep);

my %opt = (seconds => 5, rounds => 5, connections => 8);
GetOptions(\%opt, 'seconds=i', 'rounds=i', 'connections=i') or die "bad option\n";
my $build = abs_path(shift // '.') or die "usage: $0 BUILDDIR\n";
my $module = "$build/.libs/mod_pydaemon.so";
-e $module or die "$module: not built\n";

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
my $tick = sysconf(_SC_CLK_TCK);
my %server;

sub write_file {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "$path: $!";
    print {$fh} $text;
    close $fh or die "$path: $!";
}

sub free_port {
    my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no port: $!";
    return $s->sockport;
}

write_file("$dir/hello.py", <<'PY');
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '12')])
    return [b'Hello world\n']
PY

my %body = (
    pydaemon => <<"CONF",
LoadModule pydaemon_module $module
PyDaemonWorkerDir $build
PyDaemonProcess bench processes=2 threads=15
PyDaemonAlias / $dir/hello.py group=bench
CONF
    mod_wsgi => <<"CONF",
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
WSGISocketPrefix $dir/wsgi
WSGIDaemonProcess bench processes=2 threads=15
WSGIScriptAlias / $dir/hello.py process-group=bench application-group=%{GLOBAL}
WSGIRestrictEmbedded On
CONF
);

sub start_server {
    my ($name) = @_;
    my $port = free_port();
    my $user = $> == 0 ? "User www-data\nGroup www-data\n" : '';
    my $modules = '/usr/lib/apache2/modules';
    write_file("$dir/$name.conf", <<"CONF");
ServerRoot $dir
ServerName localhost
Listen 127.0.0.1:$port
PidFile $dir/$name.pid
ErrorLog $dir/$name.log
DefaultRuntimeDir $dir
Mutex file:$dir default
${user}LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
StartServers 2
MinSpareThreads 25
MaxSpareThreads 75
ThreadsPerChild 25
MaxRequestWorkers 50
MaxKeepAliveRequests 0
<Location />
    Require all granted
</Location>
$body{$name}
CONF
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        exec '/usr/sbin/apache2', '-f', "$dir/$name.conf", '-D', 'FOREGROUND';
        die "exec: $!";
    }
    $server{$name} = { pid => $pid, url => "http://127.0.0.1:$port/" };
    for (1 .. 200) {
        return if `curl -s -o /dev/null -w '%{http_code}' $server{$name}{url}` eq '200';
        waitpid($pid, WNOHANG) == 0 or last;
        sleep 0.05;
    }
    die "$name does not answer; see:\n" . `tail -5 $dir/$name.log`;
}

sub descendants {
    my ($root) = @_;
    my (%children, @all);
    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $stat or next;
        my $line = <$fh> // next;
        my ($pid, $rest) = $line =~ /^(\d+) \(.*\) (.*)$/ or next;
        push @{ $children{ (split ' ', $rest)[1] } }, $pid;
    }
    my @todo = ($root);
    while (defined(my $pid = shift @todo)) {
        push @all, $pid;
        push @todo, @{ $children{$pid} // [] };
    }
    return @all;
}

sub cpu_seconds {
    my ($name) = @_;
    my $sum = 0;
    for my $pid (descendants($server{$name}{pid})) {
        open my $fh, '<', "/proc/$pid/stat" or next;
        my ($rest) = (<$fh> // '') =~ /^\d+ \(.*\) (.*)$/ or next;
        my @f = split ' ', $rest;
        $sum += ($f[11] + $f[12]) / $tick;
    }
    return $sum;
}

sub round_of {
    my ($name) = @_;
    my $before = cpu_seconds($name);
    my $out = `wrk -t1 -c$opt{connections} -d$opt{seconds}s $server{$name}{url}`;
    my $cpu = cpu_seconds($name) - $before;
    my ($requests) = $out =~ /(\d+) requests in/ or die "wrk: $out";
    my ($rate) = $out =~ m{Requests/sec:\s+([\d.]+)};
    print STDERR "$name: $1\n" if $out =~ /(Non-2xx.*|Socket errors.*)/;
    return { us => 1e6 * $cpu / $requests, rate => $rate };
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[ $#sorted / 2 ];
}

END {
    local $?;
    for my $s (values %server) { kill 'TERM', $s->{pid}; waitpid $s->{pid}, 0 }
}

my @names = sort keys %body;
start_server($_) for @names;
my %seen;
for (1 .. $opt{rounds}) {
    push @{ $seen{$_} }, round_of($_) for @names;
}
printf "%-10s %18s %12s\n", 'server', 'CPU us/request', 'requests/s';
for my $name (@names) {
    printf "%-10s %18.0f %12.0f\n", $name, median(map { $_->{us} } @{ $seen{$name} }),
        median(map { $_->{rate} } @{ $seen{$name} });
}
printf "ratio %.2f\n",
    median(map { $_->{us} } @{ $seen{pydaemon} }) / median(map { $_->{us} } @{ $seen{mod_wsgi} });
