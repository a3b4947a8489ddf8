// A cluster of Linux guests that uses what a Compose file needs: names, networks, an image's program, health, order, restarts, limits.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterInput } from '@retrap/cluster'
import { writeLayout } from '@retrap/tooling/container-images'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { writeTar } from '@retrap/tooling/tar-writer'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { fetchKernelModules } from '@retrap/linux-guest/linux/debian-drivers'
import { PLAIN, run, soak } from '../soak/cluster.soak.ts'
import { linuxWith } from '../support/disk-linux.ts'

const isHere = hasProc && (await linuxWith([], '')) !== undefined
const test = sliceTests(4).skipIf(!isHere)

/** The entrypoint of an image: says what it finds, and is ready after a second. */
const SERVE = `echo "$1 in $(pwd) on $(hostname)"; cat /etc/hosts /etc/told /data/base/kept; stat -c %a:%u:%g /etc/told; echo more >>/data/base/kept; sync; sleep 1; >/tmp/ready
while :; do nc -l -p 7 -e echo hello; done`
const MIGRATE =
  'echo "$$: $(nc -w 1 store 7)"; echo more >>/conf/a; cat /conf/a /one; mkdir /vol/.in; echo copied >/vol/.in/f; >kept; [ -e kept ] && ls /root >/dev/null || exit 4'
/** Fails twice, by a count in memory, and looks at its limits and at machines of other networks. */
const WEB = `cd /state || exit 1; n=$(cat n || echo 0); echo $((n + 1)) >n; [ $n = 2 ] || exit 7
ping -c 1 -W 1 'Data_Base.1' | grep loss; ping -c 1 -W 1 10.77.0.5 2>&1 | tail -n 1; nc -w 1 replica 7
>/root/x; df . | tail -n 1; echo $(ulimit -a | sed 's/.*) //'); ulimit -H -n; cat /vol/.in/f /proc/sys/net/core/somaxconn; sleep 100`
const shell = (text: string): string[] => ['sh', '-c', text]

const cluster = (image: string, conf: string): ClusterInput => ({
  machines: [
    {
      ...{ name: 'web', command: shell(WEB), networks: { front: {} }, root: 'amd64', restart: 'on-failure:2' },
      ...{ readOnly: true, tmpfs: ['/state:size=64k'], sysctls: { 'net.core.somaxconn': '99' }, shmSize: '1M' },
      disk: { size: '8M', path: '/.volumes', folders: { '/vol': 'vol' }, copies: { vol: 'Migration' } },
      ulimits: {
        ...{ core: 2048, cpu: 60, data: 2 ** 30, fsize: 2 ** 20, locks: 5, memlock: -1, msgqueue: 9000, nice: 3 },
        ...{ nofile: [100, 200], nproc: 500, rss: 2 ** 29, rtprio: 4, sigpending: 77, stack: 2 ** 22 },
      },
    },
    {
      ...{ name: 'Migration', command: shell(MIGRATE), networks: { back: {} }, root: 'amd64', restart: 'no' },
      share: [`${conf}:/conf:copy`, `${conf}/a:/one`],
      disk: { size: '8M', path: '/.volumes', folders: { '/vol': 'vol' } },
      ...{ workingDirectory: '/no/such/folder', after: [{ machine: 'Data_Base.1', when: 'healthy' }] },
    },
    {
      ...{ name: 'Data_Base.1', image, entrypoint: 'image', hostname: 'db-host', aliases: ['replica'] },
      files: { '/link/etc/told': { text: 'told\n', mode: '0640', owner: '7:8' } },
      disk: { size: '8M', path: '/link/.volumes', folders: { '/link/data/base': 'base' } },
      networks: { back: { ipv4: '10.77.0.9', aliases: ['store'] }, front: {} },
      health: { test: shell('echo is it; yes | ls /tmp/ready'), interval: '300ms', timeout: '2s', retries: 2 },
    },
    {
      name: 'alone',
      network: 'none',
      files: { '/v1/gone': { text: '#!/bin/sh\n! pidof sleep\n', mode: '0755' } },
      root: 'amd64',
      hosts: { outside: ['10.9.9.9', 'fd99::9'] },
    },
  ],
  networks: { back: { subnet4: '10.77.0.0/24' }, front: {} },
  workload: {
    ...{ on: 'alone', setup: shell('ls /sys/class/net; cat /etc/hosts') },
    templates: {
      endless: [
        { kind: 'anytime', on: 'alone', command: shell('sleep 999 & exec setsid sleep 999') },
        { kind: 'eventually', on: 'alone', command: ['/v1/gone'] },
      ],
    },
  },
  faults: {
    ...{ for: '4s', heal: '100ms' },
    list: [
      { kind: 'crash', at: '600ms', for: '200ms', machines: ['Data_Base.1'] },
      { kind: 'hang', at: '2s', for: '1500ms', machines: ['Data_Base.1'] },
      { kind: 'crash', at: '2s', for: '200ms', machines: ['Migration'] },
    ],
  },
})

const note = skipNote(isHere, 'no /proc, or no kernel')
test(`names, networks, order, health and restarts are the same in each run${note}`, { timeout: 600_000 }, async () => {
  await soak.setup!()
  const { busyboxPath } = await fetchKernelModules('amd64', () => undefined)
  const layer = writeTar([
    ...['bin/', 'data/', 'data/base/', 'etc/', 'dev/', 'proc/', 'sys/', 'tmp/'].map(
      (name) => ({ name, kind: '5', mode: 0o755 }) as const,
    ),
    { name: 'bin/busybox', content: readFileSync(busyboxPath), mode: 0o755 },
    { name: 'bin/sh', kind: '2', link: 'busybox' },
    { name: 'link', kind: '2', link: '/' },
    { name: 'data/base/kept', content: 'of the image\n' },
  ])
  const config = { Entrypoint: [...shell(SERVE), 'sh'], Cmd: ['usual'], WorkingDir: '/made/here' }
  const folder = temporaryFolder('places')
  const image = writeLayout(join(folder, 'image'), [layer], { config })
  mkdirSync(join(folder, 'conf'))
  writeFileSync(join(folder, 'conf/a'), 'of the host\n')
  const one = { value: cluster(image, join(folder, 'conf')), seed: 5, stops: [500e6, 1100e6, 2300e6] }
  const first = await run(one, PLAIN, () => 99)
  const told = first.map((line) => line.replace(/^\d+ /, ''))
  const order = [
    'Data_Base.1 output usual in /made/here on db-host',
    'Data_Base.1 machine not healthy yet: is it ls: /tmp/ready: No such file or directory ',
    'Data_Base.1 machine healthy',
    'Migration ended its program ended with 0',
    'web machine its program ended with 7, and starts again',
  ].map((line) => told.indexOf(line))
  expect(order).toEqual(order.toSorted((a, b) => a - b))
  expect(order).not.toContain(-1)
  for (const line of ['9 db-host', '9 Data_Base.1 replica store', '2 Migration'])
    expect(told).toContain(`Data_Base.1 output 10.77.0.${line}`)
  const outputOf = (machine: string): string[] =>
    told.flatMap((line) => (line.startsWith(`${machine} output `) ? [line.slice(`${machine} output `.length)] : []))
  expect(outputOf('web').slice(-9)).toEqual([
    '1 packets transmitted, 1 packets received, 0% packet loss',
    'ping: sendto: Network is unreachable',
    'hello',
    "sh: can't create /root/x: Read-only file system",
    expect.stringMatching(/^tmpfs +64 /),
    ...['4 1048576 3 2048 77 unlimited 524288 100 9000 4 4096 60 500 unlimited 5', '200', 'copied', '99'],
  ])
  const copied = ['of the host', 'more', 'of the host']
  expect(outputOf('Migration')).toEqual([expect.stringMatching(/^\d+: hello$/), ...copied])
  expect(readFileSync(join(folder, 'conf/a'), 'utf8')).toBe('of the host\n')
  // The disk outlives the crash, and begins with the files of the image.
  const kept = outputOf('Data_Base.1').filter((line) => ['told', 'of the image', 'more', '640:7:8'].includes(line))
  expect(kept).toEqual(['told', 'of the image', '640:7:8', 'told', 'of the image', 'more', '640:7:8'])
  expect(told).toContain('alone phase sh #1 is killed')
  expect(first).toContainEqual(expect.stringMatching(/^undefined /))
  const names = ['10.9.9.9 outside', 'fd99::9 outside', '127.0.0.1 alone']
  expect(outputOf('alone')).toEqual(['lo', '127.0.0.1 localhost', '::1 localhost', ...names])
  const forked = { ...PLAIN, workers: 2, isForked: true, forks: 0b1111 }
  for (const way of [forked, { ...PLAIN, isRecorded: true, isCompiled: false }])
    expect(await run(one, way, () => 99)).toEqual(first)
  await soak.teardown!()
})
