# SPDX-License-Identifier: Apache-2.0
package PyDaemonTest::Site;

# A server as people run one: two named virtual hosts, each for http and https and HTTP/2, with an ErrorLog, a user and a
# group of its own. blog.test is a Django project (apps/site) on sqlite; shop.test has a Flask application at /, a
# plain WSGI file at /plain and, on the second Python if one is configured, another at /second.

use strict;
use warnings FATAL => 'all';

use base qw(Exporter);
use PyDaemonTest;
use PyDaemonTest::Build;
use Test::More ();

our @EXPORT = qw(start_site);

my $conf = <<'END';
SSLSessionCache none
Protocols h2 h2c http/1.1
<Directory "@admin_static@">
    Require all granted
</Directory>
<VirtualHost *:@port@>
    ServerName blog.test
    ErrorLog "@dir@/logs/blog_error_log"
    PyDaemonProcess blog user=@blog_user@ home=@dir@/blog python-path=@apps@/site env=NOTEBOARD_DB=@dir@/blog/db.sqlite3 @blog_options@
    Alias /static/ "@admin_static@/"
    PyDaemonAlias / "@apps@/site/noteboard/wsgi.py" group=blog
</VirtualHost>
<VirtualHost *:@port2@>
    ServerName blog.test
    ErrorLog "@dir@/logs/blog_error_log"
    SSLEngine on
    SSLCertificateFile "@dir@/cert.pem"
    Alias /static/ "@admin_static@/"
    PyDaemonAlias / "@apps@/site/noteboard/wsgi.py" group=blog
</VirtualHost>
<VirtualHost *:@port@>
    ServerName shop.test
    ErrorLog "@dir@/logs/shop_error_log"
    PyDaemonProcess shop user=@shop_user@ python=@shop_python@ python-path=@packages@ @shop_options@
    PyDaemonProcess second user=@shop_user@ python=@second_python@ threads=2
    PyDaemonAlias /plain "@apps@/hello.py" group=shop
    PyDaemonAlias /echo "@apps@/echo.py" group=shop
    PyDaemonAlias /second "@apps@/environ.py" group=second
    PyDaemonAlias / "@apps@/flask_app.py" group=shop
</VirtualHost>
<VirtualHost *:@port2@>
    ServerName shop.test
    ErrorLog "@dir@/logs/shop_error_log"
    SSLEngine on
    SSLCertificateFile "@dir@/cert.pem"
    PyDaemonAlias /plain "@apps@/hello.py" group=shop
    PyDaemonAlias /echo "@apps@/echo.py" group=shop
    PyDaemonAlias /second "@apps@/environ.py" group=second
    PyDaemonAlias / "@apps@/flask_app.py" group=shop
</VirtualHost>
END

# start_site(blog_options => TEXT, shop_options => TEXT, first => CONF, ...): the rest as for start_server
sub start_site {
    my (%options) = @_;
    my ($blog_user, $shop_user) = need_users(2);
    my ($python, @more) = pythons();
    my $second = $more[0] // $python;
    my %facts = (blog_user => $blog_user, shop_user => $shop_user, second_python => $second,
        blog_options => delete $options{blog_options} // '', shop_options => delete $options{shop_options} // '',
        packages => output($python, '-c', 'import django, os; print(os.path.dirname(os.path.dirname(django.__file__)))'));
    $facts{admin_static} = "$facts{packages}/django/contrib/admin/static";
    # Debian's Flask belongs to its own Python; where another one can import it, it serves it.
    $facts{shop_python} = runs($second, '-c', "import sys; sys.path.append('$facts{packages}'); import flask") ? $second
        : $python;
    my $text = (delete $options{first} // "") . $conf =~ s/\@(\w+)\@/$facts{$1} \/\/ "\@$1\@"/ger;
    my $server = start_server(ports => 2, log_level => 'info', %options, start => 0, conf => $text);
    my $self = bless { server => $server, dir => $server->dir, python => $python, %facts }, __PACKAGE__;
    $server->tolerate(qr/AH01906/);    # the certificate is its own authority
    $self->make_certificate;
    $self->make_database;
    $server->start if $options{start} // 1;
    return $self;
}

sub output {
    open my $in, '-|', @_ or die "$_[0]: $!\n";
    local $/;
    my $text = <$in> // '';
    close $in or die "@_: status $?\n";
    return $text =~ s/\s+$//r;
}

sub runs {
    my (@command) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>', '/dev/null';
        exec @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return $? == 0;
}

sub make_certificate {
    my ($self) = @_;
    my $file = "$self->{dir}/cert.pem";
    runs('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=blog.test', '-days', 2,
        '-addext', 'subjectAltName=DNS:blog.test,DNS:shop.test', '-keyout', "$file.key", '-out', "$file.crt")
        or die "openssl made no certificate\n";
    open my $out, '>', $file or die "$file: $!\n";
    chmod 0600, $file;
    print $out PyDaemonTest::slurp("$file.key"), PyDaemonTest::slurp("$file.crt");
    close $out or die "$file: $!\n";
}

# As the group's user, as an administrator does it.
sub make_database {
    my ($self) = @_;
    mkdir "$self->{dir}/blog" or die "$self->{dir}/blog: $!\n";
    my ($uid, $gid) = (getpwnam $self->{blog_user})[ 2, 3 ];
    chown $uid, $gid, "$self->{dir}/blog";
    $self->manage('migrate', '--verbosity', 0);
    $self->manage('createsuperuser', '--noinput', '--username', 'admin', '--email', 'admin@blog.test');
}

sub manage { # ARGUMENT...: python manage.py ARGUMENT... as the user of the group blog
    my ($self, @arguments) = @_;
    my (undef, undef, $uid, $gid) = getpwnam $self->{blog_user};
    my $pid = open(my $in, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        chdir "$self->{dir}/blog";
        @ENV{qw(NOTEBOARD_DB DJANGO_SUPERUSER_PASSWORD HOME)} = ("$self->{dir}/blog/db.sqlite3", 'secret', "$self->{dir}/blog");
        $) = "$gid $gid";
        $( = $gid;
        $< = $> = $uid;
        exec $self->{python}, "$PyDaemonTest::Build::top/apps/site/manage.py", @arguments or POSIX::_exit(127);
    }
    local $/;
    my $text = <$in> // '';
    close $in or die "manage.py @arguments: status $?: $text\n";
    return $text;
}

sub server { return $_[0]{server} }

# The options that make curl find the vhosts.
sub curl_options {
    my ($self) = @_;
    return ('-k', map { my $name = $_; map { ('--resolve', "$name:@{[$self->{server}->port($_)]}:127.0.0.1") } 1, 2 } 'blog.test', 'shop.test');
}

sub address { # VHOST, SCHEME, PATH
    my ($self, $vhost, $scheme, $path) = @_;
    return "$scheme://$vhost.test:" . $self->{server}->port($scheme eq 'https' ? 2 : 1) . $path;
}

# curl as of PyDaemonTest: VHOST, PROTOCOL (h1, h2c, https, h2), PATH, OPTION...
my %protocol = (h1 => ['http', '--http1.1'], h2c => ['http', '--http2-prior-knowledge'], https => ['https', '--http1.1'],
    h2 => ['https', '--http2']);

# Those that this httpd speaks: without mod_http2 there is no HTTP/2.
sub protocols { return PyDaemonTest::Build::mpm() eq 'prefork' ? qw(h1 https) : qw(h1 h2c https h2) }

sub get {
    my ($self, $vhost, $protocol, $path, @options) = @_;
    my ($scheme, $version) = @{ $protocol{$protocol} };
    return curl($self->address($vhost, $scheme, $path), $version, $self->curl_options, @options);
}

sub log_of { # blog, shop, or nothing for the server's own
    my ($self, $vhost) = @_;
    return PyDaemonTest::slurp("$self->{dir}/logs/" . (defined $vhost ? "${vhost}_" : '') . 'error_log');
}

# A browser: keeps cookies, sends a Referer, knows the token of the last form.
sub browser {
    my ($self, $vhost, $protocol) = @_;
    my $jar = File::Temp->new;
    return bless { site => $self, vhost => $vhost, protocol => $protocol, jar => $jar, token => '', referer => '' },
        'PyDaemonTest::Site::Browser';
}

package PyDaemonTest::Site::Browser;

sub get {
    my ($self, $path, @options) = @_;
    my $site = $self->{site};
    my $answer = $site->get($self->{vhost}, $self->{protocol}, $path, '-b', "$self->{jar}", '-c', "$self->{jar}",
        length $self->{referer} ? ('-H', "Referer: $self->{referer}") : (), @options);
    $self->{referer} = $site->address($self->{vhost}, $protocol{ $self->{protocol} }[0], $path);
    $self->{token} = $1 if $answer->{body} =~ /name="csrfmiddlewaretoken" value="([^"]+)"/;
    return $answer;
}

sub post { # PATH, FIELD => VALUE...
    my ($self, $path, @fields) = @_;
    my @options;
    while (my ($name, $value) = splice @fields, 0, 2) {
        push @options, '--data-urlencode', "$name=$value";
    }
    return $self->get($path, @options, '--data-urlencode', "csrfmiddlewaretoken=$self->{token}");
}

sub cookie {
    my ($self, $name) = @_;
    return PyDaemonTest::slurp("$self->{jar}") =~ /\t\Q$name\E\t(\S+)$/m ? $1 : undef;
}

1;
