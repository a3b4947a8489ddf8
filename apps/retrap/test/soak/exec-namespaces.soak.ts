// Programs that make user namespaces, by `retrap exec` and without rights: bubblewrap, podman with an image of its own, and Chromium with
// its sandbox on.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RootRow, rootSoak } from '../support/root-soak.ts'

const PACKAGES = ['bubblewrap', 'podman', 'crun', 'uidmap', 'busybox-static', 'chromium-headless-shell']

/** podman without systemd, whose containers are busybox. */
const PODMAN = `export XDG_RUNTIME_DIR=/tmp/run
mkdir -p "$XDG_RUNTIME_DIR" /tmp/image/bin
cp /bin/busybox /tmp/image/bin/sh
tar -C /tmp/image --owner=0 --group=0 -cf /tmp/image.tar .
pod() { podman --cgroup-manager=cgroupfs --events-backend=file "$@"; }
pod import -q /tmp/image.tar localhost/box >/dev/null && pod run --rm --network=none localhost/box /bin/sh -c 'echo $$ of the container'
`
const PAGE = 'data:text/html,<p id=a></p><script>a.textContent=6*7</script>'

const options = ['--memory', '2G', '--user', 'ann']

const ROWS: readonly RootRow[] = [
  {
    name: 'bubblewrap',
    options,
    run: [
      'bwrap',
      ...'--ro-bind / / --dev /dev --proc /proc --unshare-all --uid 9 sh -c'.split(' '),
      'id -u; ps -o comm=',
    ],
    stdout: /^9\nbwrap\nsh\nps\n$/,
  },
  { name: 'podman', options, run: PODMAN, stdout: /^1 of the container\n$/ },
  {
    name: 'Chromium',
    options,
    run: ['chromium-headless-shell', '--disable-gpu', '--dump-dom', PAGE],
    stdout: /<p id="a">42<\/p>/,
  },
]

export const soak = rootSoak('exec-namespaces', PACKAGES, ROWS, (root) => {
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/tmp:/bin/sh\n')
  for (const name of ['subuid', 'subgid']) writeFileSync(join(root, 'etc', name), 'ann:100000:65536\n')
})
