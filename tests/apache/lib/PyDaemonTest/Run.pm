# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Run;

# Apache::Test's runner, with what is different here: nothing of the system's httpd configuration, 127.0.0.1 only,
# root allowed, failure if nothing ran or if a process is left.

use strict;
use warnings FATAL => 'all';

use base qw(Apache::TestRun);
use Apache::TestConfig ();
use Apache::TestHarness ();
use PyDaemonTest::Build;
use PyDaemonTest::Process;
use TAP::Harness ();
use Time::HiRes qw(sleep time);

my $top = $PyDaemonTest::Build::top;

# What failed while the host gave this machine's CPUs to others for so much of the time that was wanted says nothing, and
# is run again, so many times at most.
my ($starvation, $again) = (0.25, 2);

{
    # Apache::Test lets its virtual hosts listen on all addresses.
    no warnings 'redefine';
    my $parse_vhost = \&Apache::TestConfig::parse_vhost;
    *Apache::TestConfig::parse_vhost = sub {
        my $config = $parse_vhost->(@_);
        if ($config) {
            $config->{out_string} =~ s/0\.0\.0\.0:/127.0.0.1:/g;
        }
        return $config;
    };
    # Several suites may run on a host: begin to look for free ports somewhere else each time.
    my $select_port = \&Apache::TestConfig::select_first_port;
    *Apache::TestConfig::select_first_port = sub {
        my ($config) = @_;
        $config->{vars}{port} ||= 20000 + 20 * int rand 500;
        return $select_port->($config);
    };
}

sub write_file {
    my ($path, @lines) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    print $out map { "$_\n" } @lines;
    close $out or die "$path: $!\n";
}

sub run {
    my ($self, @arguments) = @_;
    $ENV{APACHE_TEST_ULIMIT_SET} = 1;    # no core files
    -e PyDaemonTest::Build::fact('module') or die "no module to test\n";
    $self->{result} = 0;
    $self->SUPER::run(@arguments);
    exit $self->{result};
}

sub pre_configure {
    my ($self) = @_;
    my $options = $self->{conf_opts};

    write_file("$top/modules.conf", PyDaemonTest::Build::load_modules());
    write_file("$top/pydaemon.conf", PyDaemonTest::Build::load_pydaemon());
    my %fixed = (
        httpd => PyDaemonTest::Build::fact('httpd'),
        apxs => PyDaemonTest::Build::fact('apxs'),
        httpd_conf => "$top/modules.conf",
        httpd_conf_extra => "$top/pydaemon.conf",
        servername => '127.0.0.1',
        user => PyDaemonTest::Build::user(),
        group => PyDaemonTest::Build::group(),
        apps => "$top/apps",
        workers => PyDaemonTest::Build::fact('worker_dir'),
    );
    $options->{$_} //= $fixed{$_} for keys %fixed;
}

# Apache::Test does not want root here, and ends with status 0. httpd switches its children to User.
sub check_runtime_user { return 1 }

sub run_tests {
    my ($self) = @_;
    return unless $self->{opts}{'run-tests'};

    my @files = Apache::TestHarness->get_tests({ tests => $self->{tests}, order => $self->{opts}{order} });
    my @skipped;
    my $harness = TAP::Harness->new({
        verbosity => $self->{opts}{verbose} ? 1 : 0,
        lib => [ "$top/lib", "$top" ],
        timer => 1,
    });
    $harness->callback(after_test => sub {
        my ($job, $parser) = @_;
        push @skipped, "$job->[0]: " . $parser->skip_all if defined $parser->skip_all;
    });
    my (%cpu, %starved);
    $harness->callback(made_parser => sub { $cpu{ $_[1][1] } = [ cpu_ticks() ] });
    $harness->callback(after_test => sub { $starved{ $_[0][1] } = taken_share($cpu{ $_[0][1] }, [ cpu_ticks() ]) });
    local $SIG{CHLD} = 'DEFAULT';
    my $results = $harness->runtests(@files);
    $self->fail("@{[scalar $results->total]} tests ran") if !$results->total;
    for (1 .. $again) {
        my %failed = map { $_ => 1 } map { $results->$_ } qw(failed exit wait parse_errors);
        my @failed = sort keys %failed or last;
        last if grep { ($starved{$_} // 0) < $starvation } @failed;
        printf "The host took %d %% of the CPU time that was wanted while %s ran, which failed: once more.\n",
            100 * $starved{$_}, $_ for @failed;
        $results = $harness->runtests(@failed);
    }
    $self->fail('') if !$results->all_passed;
    $self->fail("root has no reason to skip $_") for PyDaemonTest::Build::is_root() ? @skipped : ();
}

# Ticks spent (user, nice, system, interrupts), and those stolen (proc(5)).
sub cpu_ticks {
    my @ticks = split ' ', PyDaemonTest::Process::read_file('/proc/stat') =~ /^cpu +(.*)/ ? $1 : '';
    $_ //= 0 for @ticks[ 0 .. 7 ];
    return ($ticks[0] + $ticks[1] + $ticks[2] + $ticks[5] + $ticks[6], $ticks[7]);
}

sub taken_share {
    my ($before, $after) = @_;
    my ($spent, $stolen) = map { $after->[$_] - $before->[$_] } 0, 1;
    return $spent + $stolen > 0 ? $stolen / ($spent + $stolen) : 0;
}

sub fail {
    my ($self, $why) = @_;
    $self->{result} = 1;
    print "FAIL: $why\n" if length $why;
}

sub stop {
    my ($self) = @_;
    return unless $self->{opts}{'stop-httpd'};
    my $result = $self->{server}->stop;
    my @left;
    my $end = time + 15;
    sleep 0.1 while @left = PyDaemonTest::Process::below($top) and time < $end;
    if (@left) {
        $self->fail('processes are left: ' . join ', ', map { PyDaemonTest::Process::describe($_) } @left);
        kill KILL => @left;
    }
    return $result;
}

1;
