// Machines that share a kernel, as containers: what is each one's own, and which faults hit one or all of them.
import type { ClusterInput } from '@retrap/cluster'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { expect } from 'vitest'
import { PLAIN, run, soak } from '../soak/cluster.soak.ts'
import { linuxWith } from '../support/disk-linux.ts'

const isHere = hasProc && (await linuxWith([], '')) !== undefined
const test = sliceTests(4).skipIf(!isHere)

const shell = (text: string): string[] => ['sh', '-c', text]
/** Says what it finds, and then that it runs. A container's own processes are the shells of its guest, and these here. */
const SERVE = `echo "$(hostname) $(cat /sys/class/net/eth0/address) $(ls -d /proc/[0-9]* | wc -l)"; cd /shared; >$(hostname)
echo $(ls /dev/shm) >/dev/shm/$(hostname); head -c 199999 /dev/zero >/tmp/zeros; while :; do echo runs *; md5sum /tmp/zeros >/tmp/sum; sleep 0.05; done`
const DRIVE = `sleep 0.3; for one in db app; do while :; do ping -c 1 -W 1 $one | grep -q ' 0%' && echo reaches $one; sleep 0.05; done & done; wait`
const both = { root: 'amd64', command: shell(SERVE), restart: 'always' }
const folders = { '/shared': 'state' }

const cluster: ClusterInput = {
  machines: [
    { ...both, name: 'db', disk: { size: '8M', path: '/.volumes', folders } },
    { ...both, name: 'app', inside: 'db', disk: { folders } },
    { name: 'out', root: 'amd64', command: shell(DRIVE) },
  ],
  workload: {
    ...{ on: 'out', setup: shell('sleep 0.4') },
    templates: {
      endless: [
        { kind: 'parallel_driver', on: 'db', command: shell('tail -f /dev/null & exec setsid tail -f /dev/null') },
        { kind: 'eventually', on: 'db', command: shell('! pidof tail') },
      ],
    },
  },
  faults: {
    ...{ for: '2s', heal: '50ms' },
    list: [
      { kind: 'partition', at: '100ms', for: '250ms', cut: ['out>app', 'app>out'] },
      { kind: 'hang', at: '500ms', for: '250ms', machines: ['app'] },
      { kind: 'slow-cpu', at: '800ms', for: '200ms', amount: 0.01, machines: ['db'] },
      { kind: 'memory', at: '1100ms', for: '200ms', machines: ['app'] },
      { kind: 'power', at: '1400ms', for: '100ms', machines: ['app'] },
    ],
  },
}

const note = skipNote(isHere, 'no /proc, or no kernel')
test(`containers have what is theirs, and faults of one, in each run${note}`, { timeout: 900_000 }, async () => {
  await soak.setup!()
  const one = { value: cluster, seed: 6, stops: [600e6, 1100e6, 1800e6] }
  const first = await run(one, PLAIN, () => 99)
  const begin = Number(first.find((line) => line.includes('faults begin'))!.split(' ')[0])
  /** The things that a machine has said in some milliseconds since faults began. */
  const heard = (machine: string, from: number, to: number): string[] =>
    first.flatMap((line) => {
      const [ns, name, ...words] = line.split(' ')
      const ms = (Number(ns) - begin) / 1e6
      return name === machine && words[0] !== 'phase' && ms >= from && ms < to ? [words.join(' ')] : []
    })
  for (const [i, name] of ['db', 'app'].entries()) {
    expect(heard(name, -9999, 0)[0]).toMatch(new RegExp(`^output ${name} 52:54:00:7c:00:0${i + 1} [4-9]$`))
    // The volume has the files of both.
    expect(new Set(heard(name, 0, 90))).toEqual(new Set(['output runs app db']))
    expect(heard(name, 1410, 1500)).toEqual([])
    expect(heard(name, 1500, 2000)).toContain('output runs app db')
  }
  expect(new Set(heard('out', 110, 350))).toEqual(new Set(['output reaches db']))
  expect(heard('app', 510, 750)).toEqual([])
  expect(heard('db', 510, 750).length).toBeGreaterThan(2)
  expect(heard('app', 810, 1000).length).toBeGreaterThan(heard('db', 810, 1000).length)
  expect(heard('app', 1100, 1400)).toContain('machine its program ended with 137, and starts again')
  expect(heard('db', 1100, 1400).join()).not.toContain('ended')
  // The end of the run says that no process of it is left.
  expect(first).toContainEqual(expect.stringMatching(/ db phase sh #\d+ is killed$/))
  const forked = { ...PLAIN, workers: 2, isForked: true, forks: 0b1111 }
  for (const way of [forked, { ...PLAIN, isRecorded: true, isCompiled: false }])
    expect(await run(one, way, () => 99)).toEqual(first)
  await soak.teardown!()
})
