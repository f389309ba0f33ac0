# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Background;

# Requests that run while the test goes on: my $request = background(sub { curl($url) }); ...; $request->result. And
# many of them: my $load = load($port, '/path', 4); ...; my $count = $load->end.

use strict;
use warnings FATAL => 'all';

use base qw(Exporter);
use File::Temp ();
use POSIX ();
use PyDaemonTest::Client;
use Storable ();

our @EXPORT = qw(background load);

sub background {
    my ($code) = @_;
    pipe my $in, my $out or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $in;
        alarm 120;
        my $result = eval { $code->() } // { error => $@ };
        Storable::nstore_fd($result, $out);
        close $out;
        POSIX::_exit(0);    # no END blocks: servers belong to the test
    }
    return bless { pid => $pid, in => $in, owner => $$ }, __PACKAGE__;
}

# What the code returned; waits for it.
sub result {
    my ($self) = @_;
    if (my $in = delete $self->{in}) {
        $self->{result} = eval { Storable::fd_retrieve($in) } // { error => 'the background process died' };
        local $?;
        waitpid $self->{pid}, 0;
    }
    return $self->{result};
}

sub is_running {
    my ($self) = @_;
    return 0 unless $self->{in};
    my $set = '';
    vec($set, fileno $self->{in}, 1) = 1;
    return select($set, undef, undef, 0) ? 0 : 1;
}

# load(PORT, PATH, N [, method => 'POST']): N clients, each one request after the other on kept connections, until end
# is called. That returns how often each status came; "cut" are responses without their end, "lost" none at all.
sub load {
    my ($port, $path, $clients, %options) = @_;
    my $method = $options{method} // 'GET';
    my $request = "$method $path HTTP/1.1\r\nHost: h\r\n" . ($method eq 'POST' ? "Content-Length: 4\r\n\r\nbody" : "\r\n");
    my $folder = File::Temp->newdir;
    my @loads = map { background(sub { ask_again_and_again($port, $request, "$folder/stop") }) } 1 .. $clients;
    return bless { loads => \@loads, folder => $folder }, 'PyDaemonTest::Background::Load';
}

sub ask_again_and_again {
    my ($port, $request, $stop) = @_;
    my (%count, $client);
    while (!-e $stop) {
        my $is_new = !$client;
        $client //= client($port);
        $client->send($request);
        my $response = $client->response;
        if ($response->{status} == 0 && $response->{head} eq '' && !$is_new) {
            undef $client;    # a kept connection has been closed; that is httpd's right, and it was not a request yet
            next;
        }
        $count{ $response->{status} || 'lost' }++;
        $count{cut}++ if $response->{status} && !$response->{complete};
        undef $client if !$response->{complete} || ($response->{headers}{connection} // [''])->[0] =~ /close/i;
    }
    return \%count;
}

sub PyDaemonTest::Background::Load::end {
    my ($self) = @_;
    my %sum;
    open my $stop, '>', "$self->{folder}/stop" or die "$self->{folder}/stop: $!\n";
    for my $count (map { $_->result } @{ $self->{loads} }) {
        $sum{$_} += $count->{$_} for grep { $_ ne 'error' } keys %$count;
        $sum{"error: $count->{error}"}++ if $count->{error};
    }
    return \%sum;
}

sub DESTROY {
    my ($self) = @_;
    return unless $self->{in} && $self->{owner} == $$;
    local $?;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
