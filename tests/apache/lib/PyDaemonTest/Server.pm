# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Server;

# A private httpd for one test file: its own configuration, port, log and end. For everything that stops, restarts,
# breaks or misconfigures a server; plain requests are cheaper on the common one.

use strict;
use warnings FATAL => 'all';

use File::Copy qw(copy);
use File::Path qw(make_path);
use IO::Socket::INET ();
use PyDaemonTest::Build;
use PyDaemonTest::Log;
use PyDaemonTest::Process;
use Time::HiRes qw(sleep time);

my $count = 0;

# new(conf => TEXT [, prelude => TEXT, ports => N, log_level => TEXT, modules => 0, user => NAME])
#   In conf @apps@ is the folder of applications, @dir@ the server's own, @port@, @port2@ ... its ports, @workers@
#   the folder of worker programs, @user@ httpd's.
sub new {
    my ($class, %options) = @_;
    my $dir = "$PyDaemonTest::Build::top/servers/$$-" . ++$count;
    my $self = bless { ports => 1, log_level => 'info pydaemon:debug', modules => 1, %options, dir => $dir, owner => $$ },
        $class;

    make_path("$dir/logs", "$dir/workers", "$dir/htdocs");
    chmod 0755, $dir, "$dir/logs", "$dir/workers", "$dir/htdocs";
    # Programs under a path of this server's own: so one can tell whose a process is. As a link, they cost nothing.
    for my $program (glob PyDaemonTest::Build::fact('worker_dir') . '/*') {
        place($program, "$dir/workers");
    }
    place(PyDaemonTest::Build::fact('module'), $dir);
    $self->{log} = PyDaemonTest::Log->new("$dir/logs/*error*");
    $self->{port_list} = [ free_ports($self->{ports}) ];
    $self->write_conf($options{conf});
    return $self;
}

sub place {
    my ($file, $folder) = @_;
    my ($name) = $file =~ m{([^/]+)$};
    link $file, "$folder/$name" or copy($file, "$folder/$name") or die "$file: $!\n";
    chmod 0755, "$folder/$name";
}

sub free_ports {
    my ($wanted) = @_;
    my @sockets = map { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "no port: $!\n" }
        1 .. $wanted;
    return map { $_->sockport } @sockets;
}

sub mpm_settings {
    return PyDaemonTest::Build::mpm() eq 'prefork'
        ? ('StartServers 4', 'MaxRequestWorkers 32')
        : ('StartServers 2', 'ServerLimit 8', 'ThreadsPerChild 8', 'MaxRequestWorkers 64', 'MinSpareThreads 8',
           'MaxSpareThreads 64');
}

# Replace the configuration; graceful or restart makes it count.
sub write_conf {
    my ($self, $text) = @_;
    my $dir = $self->{dir};
    my %tokens = (apps => "$PyDaemonTest::Build::top/apps", dir => $dir, workers => "$dir/workers",
        user => $self->{user} // PyDaemonTest::Build::user(), module => "$dir/mod_pydaemon.so");
    my $number = 0;
    $tokens{ 'port' . ($number++ ? $number : '') } = $_ for @{ $self->{port_list} };
    my @lines = (
        "ServerRoot $dir", 'ServerName 127.0.0.1', "PidFile $dir/httpd.pid", "DefaultRuntimeDir $dir",
        "DocumentRoot $dir/htdocs", "ErrorLog $dir/logs/error_log", "LogLevel $self->{log_level}",
        'Timeout 20', (map { "Listen 127.0.0.1:$_" } @{ $self->{port_list} }),
        ($self->{modules} ? PyDaemonTest::Build::load_modules()
            : grep { /mpm_|authz_core/ } PyDaemonTest::Build::load_modules()),
        '<IfModule mime_module>', 'TypesConfig /dev/null', 'AddType text/html .html', 'AddType text/css .css', '</IfModule>',
        '<IfModule ssl_module>', "SSLSessionCache shmcb:$dir/logs/ssl_cache", '</IfModule>',
        mpm_settings(), "LoadModule pydaemon_module $dir/mod_pydaemon.so", "PyDaemonWorkerDir $dir/workers");
    push @lines, "User $tokens{user}", "Group " . PyDaemonTest::Build::group() if PyDaemonTest::Build::is_root();
    $text =~ s/\@(\w+)\@/$tokens{$1} \/\/ die "no token \@$1\@\n"/ge;
    open my $out, '>', "$dir/httpd.conf" or die "$dir/httpd.conf: $!\n";
    print $out join("\n", @lines, $text), "\n";
    close $out or die $!;
}

# write_file(NAME, TEXT [, MODE]): a file in the server's folder, with the folders on the way. @return its path
sub write_file {
    my ($self, $name, $text, $mode) = @_;
    my $path = "$self->{dir}/$name";
    my ($folder) = $path =~ m{^(.*)/};
    make_path($folder, { mode => 0755 });
    open my $out, '>', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
    chmod $mode // 0644, $path;
    return $path;
}

sub dir  { return $_[0]{dir} }
sub port { return $_[0]{port_list}[ ($_[1] // 1) - 1 ] }
sub url  { return 'http://127.0.0.1:' . $_[0]->port . $_[1] }

# command(ARGUMENT...): run httpd with this configuration; its exit status and all it says
sub command {
    my ($self, @arguments) = @_;
    my $pid = open(my $in, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec PyDaemonTest::Build::fact('httpd'), '-f', "$self->{dir}/httpd.conf", @arguments;
        die "httpd: $!\n";
    }
    local $/;
    my $output = <$in> // '';
    close $in;
    return ($? >> 8, $output);
}

sub configtest { return $_[0]->command('-t') }

sub pid {
    my ($self) = @_;
    open my $in, '<', "$self->{dir}/httpd.pid" or return 0;
    my $pid = <$in> // '';
    return $pid =~ /^(\d+)/ ? $1 : 0;
}

# Begins to serve; dies with what httpd said if it does not. @return the pid
sub start {
    my ($self, @arguments) = @_;
    my ($status, $output) = $self->command('-k', 'start', @arguments);
    die "httpd did not start (status $status): $output" . $self->{log}->text if $status;
    $self->wait_until(sub { $self->pid && $self->accepts }, 30) or die "httpd does not serve: " . $self->{log}->text;
    $self->{running} = $self->pid;
    return $self->{running};
}

sub accepts {
    my ($self) = @_;
    return defined IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port, Timeout => 1);
}

sub signal {
    my ($self, $signal) = @_;
    my $pid = $self->pid or die "httpd does not run\n";
    return kill $signal => $pid;
}

# graceful, restart: returns when httpd says in its log that it goes on, and no child of before takes connections
sub graceful { return $_[0]->reload('USR1') }
sub restart  { return $_[0]->reload('HUP') }

sub reload {
    my ($self, $signal) = @_;
    my $before = () = $self->{log}->text =~ /resuming normal operations/g;
    my @children = grep { PyDaemonTest::Process::parent($_) == $self->pid } $self->processes;
    $self->signal($signal);
    return $self->wait_until(sub { (() = $self->{log}->text =~ /resuming normal operations/g) > $before }, 30)
        && $self->wait_until(sub { !grep { PyDaemonTest::Process::listens($_) } @children }, 10);
}

# Stops httpd; true if no process was left after seconds.
sub stop {
    my ($self, $seconds) = @_;
    my $pid = $self->pid;
    kill TERM => $pid if $pid;
    my $gone = $self->wait_until(sub { !$self->processes }, $seconds // 20);
    delete $self->{running};
    return $gone;
}

sub processes { return PyDaemonTest::Process::below($_[0]{dir}) }
sub workers   { return PyDaemonTest::Process::workers($_[0]{dir}, $_[1]) }
sub managers  { return PyDaemonTest::Process::managers($_[0]{dir}) }
sub announce  { my $self = shift; return $self->{log}->announce(@_) }
sub tolerate  { my $self = shift; return $self->{log}->tolerate(@_) }
sub log_text  { return $_[0]{log}->text }

sub wait_for_log {
    my ($self, $pattern, $seconds) = @_;
    return $self->wait_until(sub { $self->{log}->text =~ $pattern }, $seconds // 10);
}

sub wait_until {
    my ($self, $condition, $seconds) = @_;
    return PyDaemonTest::Process::wait_until($condition, $seconds);
}

# Ends what is left, however the test went. @return what was wrong: processes left, lines nobody announced
sub end {
    my ($self) = @_;
    return if $self->{ended}++ || $self->{owner} != $$;
    my @problems;
    $self->stop or push @problems, 'left after the stop: ' . join ', ', map { PyDaemonTest::Process::describe($_) }
        $self->processes;
    kill KILL => $self->processes if @problems;
    return (@problems, $self->{log}->problems);
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{ended} || $self->{owner} != $$;
    local ($?, $@);
    $self->end;
}

1;
