// Boots one of Debian's kernels on a random machine, lets the shell work, and checks what it computes against this process.
import type { Rng, Soak } from '@retrap/tooling/soak'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

/** A command, and what it must print. */
interface Work {
  readonly command: string
  readonly prints: string
}

const DEADLINE_MS = 300_000
const PACKAGES = ['linux-image-cloud-amd64', 'linux-image-amd64'] as const
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT = /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic|unchecked MSR|segfault/

const sequence = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

const WORKS: readonly ((rng: Rng) => Work)[] = [
  (rng) => {
    const count = rng.between(1, 20_000)
    const text = sequence(count).join('\n') + '\n'
    return { command: `seq ${count} | sha256sum`, prints: `${sha256(text)}  -` }
  },
  (rng) => {
    const count = rng.between(1, 5000)
    const sum = sequence(count).reduce((total, value) => total + 1 / value, 0)
    return { command: `seq ${count} | awk '{s += 1 / $1} END {printf "%.9f.\\n", s}'`, prints: `${sum.toFixed(9)}.` }
  },
  (rng) => {
    const kib = rng.between(1, 4096)
    const zeros = `dd if=/dev/zero bs=1k count=${kib} 2>/dev/null`
    return { command: `${zeros} | gzip -c | gunzip -c | sha256sum`, prints: `${sha256(new Uint8Array(kib * 1024))}  -` }
  },
  (rng) => {
    const count = rng.between(1, 200)
    const loop = `i=0; while [ $i -lt ${count} ]; do i=$((i + 1)); (true | cat); done`
    return { command: `${loop}; echo forked $i`, prints: `forked ${count}` }
  },
  (rng) => {
    const jobs = rng.between(1, 8)
    const count = rng.between(1, 3000)
    const job = `(seq ${count} | sha256sum > /tmp/$j) &`
    const text = sequence(count).join('\n') + '\n'
    return {
      command: `for j in $(seq ${jobs}); do ${job} done; wait; sort -u /tmp/*; rm /tmp/*`,
      prints: `${sha256(text)}  -`,
    }
  },
]

export const soak: Soak = {
  name: 'boot',
  count: 20,
  async setup() {
    for (const name of PACKAGES) await fetchLinux(name)
  },
  async step(rng) {
    const cpus = rng.between(1, 8)
    const kernel = rng.chance(1, 4) ? PACKAGES[1] : PACKAGES[0]
    const memory = rng.chance(1, 8) ? 3584 : rng.between(kernel === PACKAGES[0] ? 128 : 256, 1024)
    const deterministic = rng.chance()
    const works = Array.from({ length: rng.between(1, 4) }, () => rng.pick(WORKS)(rng))
    const cpu = rng.pick(['max', 'max,+la57', 'max,vendor=amd', 'core2', 'opteron'])
    const machine = ['--package', kernel, '--cpu', cpu, '--cpus', `${cpus}`, '--memory', `${memory}M`]
    const args = ['linux', ...machine, ...(deterministic ? ['--deterministic'] : [])]
    rng.note('machine', args.join(' '))
    rng.note('input', works.map(({ command }) => command).join('\n'))

    const input = [...works.map(({ command }) => command), 'poweroff -f'].map((line) => `${line}\n`).join('')
    const { code, stdout, stderr } = await runRetrap(args, { input, deadlineMs: DEADLINE_MS })
    if (code !== 0) return `it ended with ${code}: ${stderr}${stdout.slice(-2000)}`
    const complaint = COMPLAINT.exec(stdout)
    if (complaint !== null) return `the kernel complained: ${stdout.slice(complaint.index, complaint.index + 2000)}`
    const missing = works.find(({ prints }) => !stdout.includes(`\n${prints}\r`))
    if (missing !== undefined) return `'${missing.command}' did not print '${missing.prints}':\n${stdout.slice(-3000)}`
  },
}
