# SPDX-License-Identifier: Apache-2.0
# wsgiref.validate finds nothing to complain about, on either side, whatever is asked.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess valid threads=4
PyDaemonAlias /mount "@apps@/validated.py" group=valid
PyDaemonAlias / "@apps@/validated.py" group=valid
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
END
my $h2 = PyDaemonTest::Build::mpm() ne 'prefork';
my %status = (empty => 204, unmodified => 304, fails => 500);
my $body = "line one\nand two\n" . 'x' x 5000;

for my $name (qw(sends generates starts_late writes reads iterates logs empty unmodified fails sends_file)) {
    my $status = $status{$name} // 200;
    my $expected = $status =~ /[23]04/ ? '' : 'ab';
    for my $mount ('', '/mount') {
        for my $options ([], ['-I'], [ '-d', $body ], [ '-d', '' ], [ '-d', $body, '-H', 'Transfer-Encoding: chunked' ], [ '--http1.0' ],
            [ '-X', 'DELETE' ], [ '-X', 'OPTIONS' ], [ '-X', 'PATCH', '-d', 'x' ], [ '-H', 'X-Odd: caf%E9', '-A', '' ],
            # curl 7.88 stumbles over the reset behind an answer that came before all of the body was sent.
            ($h2 ? [ '--http2-prior-knowledge', $name =~ /reads|iterates/ ? ('-d', $body) : () ] : ()))
        {
            my $answer = curl($server->url("$mount/$name?q=%C3%A9&b"), @$options);
            my $shown = join ' ', map { substr $_, 0, 30 } @$options;
            $shown =~ s/\n/ /g;
            $answer->{body} = $expected if "@$options" eq '-I' && $answer->{body} =~ m{\AHTTP/};    # curl shows the head there
            is("$answer->{status} $answer->{body}", "$status $expected", "$mount/$name $shown");
        }
    }
}
unlike($server->log_text, qr/AssertionError|PYD\d+/, 'no complaint');
$server->tolerate(qr/one line|and another/);
finish();
