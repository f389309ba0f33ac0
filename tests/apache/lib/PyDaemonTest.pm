# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest;

# What a test file uses: Test::More, requests, the error log, processes, private servers. See ../README.md.

use strict;
use warnings FATAL => 'all';

use Apache::Test ();
use Apache::TestConfig ();
use base qw(Exporter);
use File::Temp ();
use IO::Socket::INET ();
use PyDaemonTest::Build;
use PyDaemonTest::Log;
use PyDaemonTest::Process;
use PyDaemonTest::Server;
use Test2::API ();
use Test::More ();

our @EXPORT = qw(need_root need_users need_httpd_module sanitized pythons url curl raw_connection apps_dir
    announce tolerate log_text wait_for_log wait_for httpd_pid workers managers start_server finish);

my $config = Apache::TestConfig->thaw;
my $vars = $config->{vars};
my $log = PyDaemonTest::Log->new("$vars->{t_logs}/*error*");
my @servers;

# A file that hangs ends here, and its servers with it.
$SIG{ALRM} = sub { die "this test file takes too long\n" };
alarm 300 * PyDaemonTest::Build::slowness();

# What failed, for the end of the whole run (../run prints it, logs first), where nobody has to look for it.
my $failed = 0;
Test2::API::test2_stack()->top->listen(sub {
    my ($hub, $event) = @_;
    my $facts = $event->facet_data;
    my $is_failure = $facts->{assert} && !$facts->{assert}{pass} && !$facts->{amnesty};
    my @remarks = grep { $_->{tag} eq 'DIAG' } @{ $facts->{info} // [] };
    report("$0 (" . join(' ', $hub->count) . "): $facts->{assert}{details}") if $is_failure;
    $failed = 1 if $is_failure;
    report(map { "    $_->{details}" } @remarks) if $failed;
});

sub report { append('failures', @_) }

sub append {
    my ($file, @lines) = @_;
    open my $out, '>>', "$PyDaemonTest::Build::top/$file" or return;
    print {$out} map { "$_\n" } @lines;
}

# Test::More comes along; test files need only this module.
sub import {
    my ($class) = @_;
    my $caller = caller;
    strict->import;
    warnings->import(FATAL => 'all');
    eval "package $caller; Test::More->import; 1" or die $@;
    $class->export_to_level(1, $class, @EXPORT);
}

# ---- what the host must offer ---------------------------------------------------------------------------------------

# As root (CI is) nothing of this may be missing: the runner takes a skipped file as a failure there.
sub need_root {
    Test::More::plan(skip_all => 'needs root, to become other users') unless PyDaemonTest::Build::is_root();
}

sub need_users { # N: names of so many users who are not httpd's
    my ($wanted) = @_;
    need_root();
    my @users = PyDaemonTest::Build::other_users();
    @users >= $wanted or die "$wanted other users are needed, there are: @users\n";
    return @users[ 0 .. $wanted - 1 ];
}

sub need_httpd_module { # NAME...: http2, ssl
    for my $name (@_) {
        grep { /^LoadModule ${name}_module/ } PyDaemonTest::Build::load_modules()
            or PyDaemonTest::Build::mpm() eq 'prefork' && $name eq 'http2' && do {
                Test::More::plan(tests => 1);
                Test::More::pass('mod_http2 does not work with prefork');
                exit 0;
            }
            or die "mod_$name is needed\n";
    }
}

sub sanitized { return PyDaemonTest::Build::fact('sanitize') ne 'no' }
sub pythons   { return split ' ', PyDaemonTest::Build::fact('pythons') }    # the first is the default one
sub apps_dir  { return "$PyDaemonTest::Build::top/apps" }

# ---- requests -------------------------------------------------------------------------------------------------------

sub url { # PATH [, VHOST]: on the common server; VHOST as in t/conf/extra.conf.in
    my ($path, $vhost) = @_;
    return $path if $path =~ /^https?:/;
    my $port = defined $vhost ? $config->{vhosts}{$vhost}{port} : $vars->{port};
    die "no vhost '$vhost' in t/conf/extra.conf.in\n" unless $port;
    return "http://127.0.0.1:$port$path";
}

# curl(URL [, CURL-OPTION...]): status, reason, version, headers (lower-case name => list), body, exit (curl's status),
# error. A path is taken as on the common server. Nothing of the host's configuration or proxies is used.
sub curl {
    my ($url, @options) = @_;
    my $folder = File::Temp->newdir;
    my @command = ('curl', '-q', '-sS', '--noproxy', '*', '--max-time', 60, '-D', "$folder/head", '-o', "$folder/body",
        '--stderr', "$folder/error", @options, url($url));
    my $status = do { local $SIG{CHLD} = 'DEFAULT'; system @command };
    my %result = (exit => $status >> 8, body => slurp("$folder/body"), error => slurp("$folder/error"), headers => {},
        status => 0, reason => '', version => '');
    my @blocks = grep { /\S/ } split /\r?\n\r?\n/, slurp("$folder/head");
    $result{blocks} = \@blocks;
    my ($first, @lines) = split /\r?\n/, @blocks ? $blocks[-1] : '';
    @result{qw(version status reason)} = ($1, $2, $3 // '') if defined $first && $first =~ m{^HTTP/(\S+) (\d+)(?: (.*))?};
    for (@lines) {
        push @{ $result{headers}{ lc $1 } }, $2 if /^([^:]+):\s*(.*?)\s*$/;
    }
    return \%result;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or return '';
    local $/;
    return <$in> // '';
}

sub raw_connection { # [VHOST or port]: a socket, for bad requests and for clients that go away
    my ($where) = @_;
    my $port = !defined $where ? $vars->{port} : $where =~ /^\d+$/ ? $where : $config->{vhosts}{$where}{port};
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10)
        or die "cannot connect to 127.0.0.1:$port: $!\n";
    $socket->autoflush(1);
    return $socket;
}

# ---- the error log of the common server -----------------------------------------------------------------------------

sub announce { return $log->announce(@_) }
sub tolerate { return $log->tolerate(@_) }
sub log_text { return $log->text }

sub wait_for_log {
    my ($pattern, $seconds) = @_;
    return wait_for(sub { $log->text =~ $pattern }, $seconds);
}

# ---- time and processes ---------------------------------------------------------------------------------------------

sub wait_for { # CODE [, SECONDS]: until it returns something true
    my ($condition, $seconds) = @_;
    return PyDaemonTest::Process::wait_until($condition, $seconds // 10);
}

sub httpd_pid { return PyDaemonTest::Process::read_file($vars->{t_pid_file}) =~ /(\d+)/ ? $1 : 0 }
sub workers   { return PyDaemonTest::Process::workers("$PyDaemonTest::Build::top/installed", @_) }
sub managers  { return PyDaemonTest::Process::managers("$PyDaemonTest::Build::top/installed") }

# ---- private servers, and the end -----------------------------------------------------------------------------------

sub start_server { # as PyDaemonTest::Server::new; start => 0: do not start it yet
    my (%options) = @_;
    my $start = delete $options{start} // 1;
    my $server = PyDaemonTest::Server->new(%options);
    push @servers, $server;
    $server->start if $start;
    return $server;
}

# The last call of each test file: all servers stop and leave nothing behind, and no log has a surprise.
sub finish {
    for my $server (@servers) {
        my @problems = $server->end;
        Test::More::is("@{[scalar @problems]}: " . join("\n", @problems), '0: ', "nothing unexpected in $server->{dir}");
    }
    my @problems = $log->problems;
    Test::More::is("@{[scalar @problems]}: " . join("\n", @problems), '0: ', 'nothing unexpected in the error log');
    append('failures.logs', map { "--- $0: the end of the log in $_->{dir}:\n" . last_lines($_->log_text, 60) } @servers) if $failed;
    Test::More::done_testing();
}

sub last_lines {
    my ($text, $count) = @_;
    my @lines = split /\n/, $text;
    splice @lines, 0, -$count if @lines > $count;
    return join "\n", @lines;
}

END {
    local $?;
    $_->end for @servers;
}

1;
