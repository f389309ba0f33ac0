# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Client;

# A client that says exactly what it is told to, reads as it is told to, and goes away in any way. Nothing waits
# longer than its deadline.

use strict;
use warnings FATAL => 'all';

use base qw(Exporter);
use Errno qw(EAGAIN EINTR);
use IO::Socket::INET ();
use Socket qw(SOCK_STREAM SOL_SOCKET SO_LINGER SO_RCVBUF);
use Time::HiRes qw(time);

our @EXPORT = qw(client talk);

# client(PORT [, TEXT]): connected; sends TEXT if given. receive_bytes => N is the size of its receive buffer.
sub client {
    my ($port, $text, %options) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp', Type => SOCK_STREAM) or die "socket: $!\n";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, pack('l', $options{receive_bytes}) if $options{receive_bytes};
    connect $socket, Socket::pack_sockaddr_in($port, Socket::inet_aton('127.0.0.1')) or die "connect to $port: $!\n";
    $socket->blocking(0);
    my $self = bless { socket => $socket, buffer => '', ended => 0 }, __PACKAGE__;
    $self->send($text) if defined $text;
    return $self;
}

# talk(PORT, TEXT [, half_close => 1]): all that comes until the server closes; undef if it does not
sub talk {
    my ($port, $text, %options) = @_;
    my $self = client($port, $text);
    $self->half_close if $options{half_close};
    return $self->rest;
}

sub ready {
    my ($self, $write, $end) = @_;
    my $left = $end - time;
    my $set = '';
    vec($set, fileno $self->{socket}, 1) = 1;
    return select(my $readable = $set, $write ? $set : undef, undef, $left > 0 ? $left : 0) > 0;
}

sub deadline { return time + ($_[0] // 10) * ($ENV{PYD_TEST_SLOWNESS} // 1) }

# @return number of bytes the server took: fewer if it stopped to, or closed. Reads meanwhile, if the server writes.
sub send {
    my ($self, $text, $seconds) = @_;
    my ($sent, $end) = (0, deadline($seconds));
    local $SIG{PIPE} = 'IGNORE';
    while ($sent < length $text) {
        my $count = syswrite $self->{socket}, $text, 65536, $sent;
        if (defined $count) {
            $sent += $count;
        }
        elsif ($! != EINTR) {
            return $sent unless $! == EAGAIN && $self->ready(1, $end);
            $self->fill(0);
        }
    }
    return $sent;
}

# Some more bytes into the buffer. False at the end, on reset, or when time is up.
sub fill {
    my ($self, $end) = @_;
    while (!$self->{ended}) {
        my $count = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
        return 1 if $count;
        if (defined $count || ($! != EAGAIN && $! != EINTR)) {
            $self->{ended} = 1;
            $self->{reset} = !defined $count;
        }
        elsif (!$self->ready(0, $end)) {
            return 0;
        }
    }
    return 0;
}

# What has come up to the end of what matches; undef if it does not come
sub expect {
    my ($self, $pattern, $seconds) = @_;
    my $end = deadline($seconds);
    while (1) {
        return substr $self->{buffer}, 0, $+[0], '' if $self->{buffer} =~ $pattern;
        return undef unless $self->fill($end);
    }
}

sub bytes { # exactly so many, or undef
    my ($self, $count, $seconds) = @_;
    my $end = deadline($seconds);
    while (length $self->{buffer} < $count) {
        return undef unless $self->fill($end);
    }
    return substr $self->{buffer}, 0, $count, '';
}

# Everything until the server closes; undef if it does not
sub rest {
    my ($self, $seconds) = @_;
    my $end = deadline($seconds);
    1 while $self->fill($end);
    return $self->{ended} ? substr($self->{buffer}, 0, length $self->{buffer}, '') : undef;
}

sub ended     { my ($self, $seconds) = @_; $self->fill(deadline($seconds)); return $self->{ended} && $self->{buffer} eq '' }
sub was_reset { return $_[0]{reset} }

# True if nothing comes within so many seconds: for what must not come, where no event tells.
sub silent { my ($self, $seconds) = @_; return $self->{buffer} eq '' && !$self->fill(deadline($seconds)) && !$self->{ended} }

# One response: status, head, headers (lower-case name => list), body, complete (its end can be told)
sub response {
    my ($self, %options) = @_;
    my $head = $self->expect(qr/\r\n\r\n/, $options{seconds}) // return { status => 0, head => $self->{buffer}, headers => {} };
    my %result = (head => $head, headers => {}, body => '', complete => 1);
    ($result{status}) = $head =~ m{^HTTP/1\.\d (\d+)};
    push @{ $result{headers}{ lc $1 } }, $2 while $head =~ /^([^:\r\n]+): *(.*?)\r$/mg;
    return \%result if $result{status} =~ /^(?:1..|204|304)$/ || $options{head};
    if (($result{headers}{'transfer-encoding'} // [''])->[0] eq 'chunked') {
        $result{complete} = $self->chunks(\$result{body});
    }
    elsif (my $length = $result{headers}{'content-length'}) {
        my $body = $self->bytes($length->[0], $options{seconds});
        $result{complete} = defined $body;
        $result{body} = $body // $self->rest;
    }
    else {
        $result{body} = $self->rest;
        $result{complete} = !$self->{reset};
    }
    return \%result;
}

sub chunks {
    my ($self, $body) = @_;
    while (defined(my $line = $self->expect(qr/^[0-9a-fA-F]+[^\r\n]*\r\n/))) {
        my $size = hex($line =~ /^([0-9a-fA-F]+)/ ? $1 : 0);
        if (!$size) {
            return defined $self->expect(qr/^(?:[^\r\n]+\r\n)*\r\n/);
        }
        my $data = $self->bytes($size + 2) // return 0;
        $$body .= substr $data, 0, $size;
    }
    return 0;
}

sub half_close { shutdown $_[0]{socket}, 1 }

sub close {
    my ($self) = @_;
    CORE::close($self->{socket});
}

# Gone, with RST.
sub abort {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    CORE::close($self->{socket});
}

1;
