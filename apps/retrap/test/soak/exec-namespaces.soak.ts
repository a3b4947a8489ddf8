// Programs that make user namespaces, by `retrap exec` and without rights: bubblewrap, podman with an image of its own, and Chromium with
// its sandbox on.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { makeDebianRoot } from '../support/debian-root.ts'
import { type Finished, runProgram, SOURCE_START } from '../support/processes.ts'

const DEADLINE_MS = 900_000
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

interface Row {
  readonly name: string
  readonly argv: readonly string[]
  readonly stdout: RegExp
}

const ROWS: readonly Row[] = [
  {
    name: 'bubblewrap',
    argv: [
      'bwrap',
      ...'--ro-bind / / --dev /dev --proc /proc --unshare-all --uid 9 sh -c'.split(' '),
      'id -u; ps -o comm=',
    ],
    stdout: /^9\nbwrap\nsh\nps\n$/,
  },
  { name: 'podman', argv: ['/bin/sh', '-c', PODMAN], stdout: /^1 of the container\n$/ },
  {
    name: 'Chromium',
    argv: ['chromium-headless-shell', '--disable-gpu', '--dump-dom', PAGE],
    stdout: /<p id="a">42<\/p>/,
  },
]

/** Its root; undefined: there is no apt to fetch it. */
let root: string | undefined

export const soak: Soak = {
  name: 'exec-namespaces',
  count: ROWS.length,
  async setup() {
    const folder = mkdtempSync(join(tmpdir(), 'retrap-exec-namespaces-'))
    if (!(await makeDebianRoot(folder, PACKAGES))) return rmSync(folder, { recursive: true })
    root = folder
    mkdirSync(join(root, 'etc'), { recursive: true })
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/tmp:/bin/sh\n')
    for (const name of ['subuid', 'subgid']) writeFileSync(join(root, 'etc', name), 'ann:100000:65536\n')
  },
  async step(rng, index) {
    const { name, argv, stdout } = ROWS[index % ROWS.length]!
    rng.note('program', name)
    if (root === undefined) return undefined
    const words = ['exec', '--memory', '2G', '--root', root, '--user', 'ann', '--', ...argv]
    const ended: Finished = await runProgram(process.execPath, [...SOURCE_START, ...words], { deadlineMs: DEADLINE_MS })
    return ended.code === 0 && stdout.test(ended.stdout) ? undefined : `${name}: ${JSON.stringify(ended)}`
  },
  teardown() {
    if (root !== undefined) rmSync(root, { recursive: true, force: true })
  },
}
