# Asks apt about the packages of a system with 2,000: it builds its cache of them, and searches.
set -e
mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial /etc/apt
apt-cache gencaches
apt-cache stats | head -n 3
apt-cache pkgnames | sort | sha256sum
apt-cache show p17
apt-cache search --names-only '^p[0-9]*7$' | sort | tail -n 2
apt-cache search 'number 1[0-9]* of' | wc -l
apt-cache depends --recurse p5 | sort | sha256sum
apt-cache rdepends p5
apt-cache dumpavail | sha256sum
