// The resolver of guests: in a network namespace of this host, beside Debian's dig, and in a cluster.
// @programs: dig
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { readCluster } from '@retrap/cluster'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import fc from 'fast-check'
import { expect } from 'vitest'
import { recordsFor, RESOLVER } from '../../src/jobs/resolver.ts'
import { PLAIN, run, soak } from '../soak/cluster.soak.ts'
import { linuxWith } from '../support/disk-linux.ts'

const test = sliceTests(2)
const isHere = hasProc && (await linuxWith([], '')) !== undefined
const canAsk = process.arch === 'x64' && process.getuid?.() === 0 && ['dig', 'ip', 'bash', 'unshare'].every(hasProgram)
const lack = skipNote(canAsk, 'no root, no x86-64, or no dig, ip, bash or unshare')
const name = fc.stringMatching(/^[a-c0]([a-c0_-]|\.[a-c]){0,24}$/)
/** No query, or nearly one, as `printf` takes it. */
const message = fc
  .tuple(fc.constantFrom('', '123401000001000000000001'), fc.uint8Array({ maxLength: 60 }))
  .map(([head, bytes]) => `${head}${Buffer.from(bytes).toString('hex')}`.replaceAll(/../g, String.raw`\x$&`))

test.skipIf(!canAsk)(`dig finds the machines that run, whatever else is sent${lack}`, { timeout: 300_000 }, () => {
  const folder = temporaryFolder('resolver')
  writeFileSync(`${folder}/resolver`, RESOLVER['x86-64'], { encoding: 'base64', mode: 0o755 })
  const ask = (names: readonly string[], sent: readonly string[], on: number, way: string): void => {
    const given = names.map((one) => ({ name: one, networks: { net: { aliases: ['Many'] } } }))
    const { machines } = readCluster({ machines: given, networks: { net: { ipv6: true } } })
    const isOn = (number: number): boolean => ((on >> number) & 1) === 1
    const running = machines.map(({ number }) => number).filter(isOn)
    const asked = machines.flatMap(({ name: one, number, networks: [place] }) => {
      const [v4, v6] = [place!.ipv4, place!.ipv6].map((address) => address.replace(/\/.*/, '')) as [string, string]
      const found = { [`-q ${one.toUpperCase()} -t A`]: v4, [`-q ${one}.net -t AAAA`]: v6, [`-x ${v6}`]: `${one}.net.` }
      return Object.entries(found).map(([query, data]) => [query, isOn(number) ? data : 'NXDOMAIN'] as const)
    })
    const many = asked.flatMap(([query, data]) => (query.endsWith(' A') && data !== 'NXDOMAIN' ? [data] : []))
    const all = [...asked, ['-q many', many.toSorted().join(' ')], ['-q no.such', 'NXDOMAIN']] as const
    writeFileSync(`${folder}/records`, recordsFor(machines[0]!, machines, running))
    writeFileSync(`${folder}/queries`, all.map(([query]) => `${query}\n`).join(''))
    const script = [
      `ip link set lo up; ${folder}/resolver ${folder}/records`,
      ...sent.map(
        (text) => `printf '${text}' >/dev/udp/127.0.0.11/53; printf '\\0\\60${text}' >/dev/tcp/127.0.0.11/53`,
      ),
      `dig @127.0.0.11 -f ${folder}/queries +noall +comments +answer +tries=1 +timeout=9 ${way}`,
    ].join('\n')
    const told = execFileSync('unshare', ['-n', '-p', '-f', '--kill-child', 'bash', '-c', script], { encoding: 'utf8' })
    const answers = told
      .split('->>HEADER<<-')
      .slice(1)
      .map((text) => {
        const data = [...text.matchAll(/^[^;\s].*[\t ](\S+)$/gm)].map(([, one]) => one).toSorted()
        return text.includes('status: NXDOMAIN') ? 'NXDOMAIN' : data.join(' ')
      })
    expect(answers).toEqual(all.map(([, data]) => data))
  }
  const names = fc.uniqueArray(name, { minLength: 1, maxLength: 12 })
  const on = fc.nat(0x7ff).map((others) => others * 2 + 1)
  const way = fc.constantFrom('', '+tcp', '+noedns')
  fc.assert(fc.property(names, fc.array(message, { maxLength: 6 }), on, way, ask), { numRuns: 40 })
})

const QUERY = String.raw`\0\24\0\1\1\0\0\1\0\0\0\0\0\0\2DB\0\0\1\0\1`
/** The addresses of `db`, bytes of the same answer by TCP, and whether `store-1` is no name. */
const LOOK = `for i in 1 2 3; do echo $(nslookup -type=a db | grep -c 10.83) $(printf '${QUERY}' | nc 127.0.0.11 53 | wc -c) $(nslookup -type=a store-1 | grep -c NXDOMAIN); sleep 1; done`
const shell = (text: string): string[] => ['sh', '-c', text]
const store = { name: 'store', count: 2, aliases: ['db'], command: shell('sleep 99'), restart: 'no', root: 'amd64' }
const list = [
  { kind: 'partition', at: '0s', for: '3s', cut: ['client>store-1', 'store-1>client', 'store-2>client'] },
  { kind: 'crash', at: '500ms', for: '1s', machines: ['store-1'] },
]
const value = {
  machines: [store, { name: 'client', root: 'amd64' }],
  resolver: true,
  workload: { on: 'client', drivers: [shell(LOOK)] },
  faults: { for: '3s', heal: '100ms', list },
}
test.skipIf(!isHere)(
  `a crash ends names, and a partition none${skipNote(isHere, 'no kernel')}`,
  { timeout: 600_000 },
  async () => {
    await soak.setup!()
    const one = { value, seed: 5, stops: [600e6] }
    const first = await run(one, PLAIN, () => 99)
    const looks = first.flatMap((line) => / client output (.*)/.exec(line)?.[1] ?? [])
    expect(looks).toEqual(['2 54 0', '1 38 1', '2 54 0'])
    expect(await run(one, { ...PLAIN, workers: 2, isForked: true, forks: 0b11 }, () => 99)).toEqual(first)
    await soak.teardown!()
  },
)
