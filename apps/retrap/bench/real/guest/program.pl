# A script of several seconds: regular expressions, hashes, sorting, formats, closures.
use strict;
use warnings;
use List::Util qw(sum0 max reduce);
use Data::Dumper;

my $state = 4711;
sub below { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $_[0] }

# A log of a server that never was.
my @paths = map { join '/', '', map { ('a' .. 'z')[below(26)] x (1 + below(3)) } 1 .. 1 + below(4) } 1 .. 300;
my @lines;
for my $i (1 .. 30_000) {
    push @lines, sprintf '10.%d.%d.%d - - [%02d/Oct/2024:%02d:%02d:%02d] "%s %s HTTP/1.1" %d %d',
        below(4), below(16), below(250), 1 + below(30), below(24), below(60), below(60),
        (qw(GET GET GET POST HEAD))[below(5)], $paths[min2(below(300), below(300))], (200, 200, 304, 404, 500)[below(5)], below(50_000);
}
sub min2 { return $_[0] < $_[1] ? $_[0] : $_[1] }

my (%hits, %bytes, %byHour, $errors);
for (@lines) {
    next unless m{^(\d+)\.(\d+)\.\S+ \S+ \S+ \[(\d+)/(\w+)/\d+:(\d\d):[^\]]+\] "(\w+) (/\S*) [^"]+" (\d{3}) (\d+)$};
    my ($net, $hour, $method, $path, $status, $size) = ("$1.$2", $5, $6, $7, $8, $9);
    $hits{$path}++;
    $bytes{$net} += $size;
    $byHour{$hour}{$method}++;
    $errors++ if $status =~ /^[45]/;
}
printf "%d paths, %d nets, %d errors\n", scalar keys %hits, scalar keys %bytes, $errors;
my @top = (sort { $hits{$b} <=> $hits{$a} || $a cmp $b } keys %hits)[0 .. 4];
printf "%-24s %6d\n", $_, $hits{$_} for @top;
printf "%s %s\n", $_, join ' ', map { "$_=$byHour{'12'}{$_}" } sort keys %{ $byHour{'12'} } for 12;

# Text: substitution, transliteration, splitting.
my $text = join ' ', map { lc $_ } @lines[0 .. 6000];
(my $rotated = $text) =~ tr/a-z/n-za-m/;
my %words;
$words{$_}++ for split /[^a-z0-9]+/, $rotated;
$rotated =~ s/(\d+)/$1 + 1/ge;
$rotated =~ s/\b(\w)(\w*)\b/\U$1\E$2/g;
printf "%d words, %d characters, checksum %d\n", scalar keys %words, length $rotated, unpack '%32C*', $rotated;

# Closures and sorting by several keys.
my @records = map { { id => $_, key => below(500), name => join '', map { ('a' .. 'z')[below(26)] } 1 .. 6 } } 1 .. 15_000;
my @order = map { $_->{id} } sort { $a->{key} <=> $b->{key} or $a->{name} cmp $b->{name} } @records;
my $mixed = reduce { ($a * 33 + $b) % 1_000_003 } 0, @order;
my @adders = map { my $n = $_; sub { $_[0] + $n } } 1 .. 50;
my $sum = 0;
for my $i (1 .. 4000) { $sum = $_->($sum) % 1_000_007 for @adders }
print "order $mixed, sum $sum\n";
local $Data::Dumper::Sortkeys = 1;
local $Data::Dumper::Indent = 0;
my $dump = Dumper([ @records[0 .. 2000] ]);
printf "dump of %d characters, checksum %d\n", length $dump, unpack '%32C*', $dump;
