// Boots Debian on Xen, 64-bit and 32-bit, on a random machine, and has it give memory back and take it again while it works.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fetchMembers } from '@retrap/debian'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 600_000
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT = /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic(?!=)|unchecked MSR|nobody cared|segfault/
const XEN = '/sys/devices/system/xen_memory/xen_memory0'
/** Kernel and initial RAM disk of a 32-bit system with PAE, which is the 32-bit kernel that knows Xen. */
let system32: readonly string[] = []

async function fetch32(): Promise<readonly string[]> {
  const [kernel = '', busybox = ''] = await fetchMembers([
    { package: 'linux-image-686-pae:i386', dependency: 'linux-image', members: ['./boot/vmlinuz-*'] },
    { package: 'busybox-static:i386', members: ['./bin/busybox'] },
  ])
  const [vmlinuz = ''] = await readdir(join(kernel, 'boot'))
  const initrd = join(busybox, 'initrd')
  await writeFile(initrd, buildInitramfs(await readFile(join(busybox, 'bin', 'busybox'))))
  return ['--kernel', join(kernel, 'boot', vmlinuz), '--initrd', initrd]
}

/** A target for the balloon, reached within a time, and some work at the same time whose answer is known. */
function round(rng: Rng, memory: number): { readonly command: string; readonly prints: string } {
  const target = rng.between(112, memory - 16) * 1024
  const count = rng.between(1, 5000)
  const text = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('')
  const reached = `while [ $(cat ${XEN}/info/current_kb) != ${target} ] && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done`
  return {
    command: `echo ${target} > ${XEN}/target_kb; seq ${count} | sha256sum; n=0; ${reached}; cat ${XEN}/info/current_kb`,
    prints: `${sha256(text)}  -\n${target}\n`,
  }
}

export const soak: Soak = {
  name: 'xen',
  count: 10,
  async setup() {
    await fetchLinux('linux-image-cloud-amd64')
    system32 = await fetch32()
  },
  async step(rng) {
    const memory = rng.between(192, 512)
    const wide = rng.chance(3, 4)
    const append = [
      'quiet',
      `grant_table.version=${rng.pick([1, 2])}`,
      ...(rng.chance(1, 4) ? ['xen_no_vector_callback'] : []),
      ...(rng.chance(1, 4) ? ['xen.fifo_events=0'] : []),
    ]
    const args = [
      ...(wide ? ['linux'] : ['run', ...system32]),
      ...['--hypervisor', 'xen', '--memory', `${memory}M`, '--cpus', `${rng.between(1, 6)}`],
      ...['--devices', rng.pick(['inline', 'async', 'worker'])],
      ...(rng.chance(1, 4) ? ['--deterministic'] : []),
      ...['--append', [...(wide ? [] : ['console=ttyS0']), ...append].join(' ')],
    ]
    const rounds = Array.from({ length: rng.between(1, 4) }, () => round(rng, memory))
    rng.note('machine', args.join(' '))
    rng.note('input', rounds.map(({ command }) => command).join('\n'))

    const answers = [...rounds.map(({ command }) => command), 'poweroff -f'].map((line) => ({
      to: '/ # ',
      type: `${line}\n`,
    }))
    const { code, stdout, stderr } = await runRetrap(args, { answers, deadlineMs: DEADLINE_MS })
    const text = stdout.replaceAll('\r', '')
    if (code !== 0) return `it ended with ${code}: ${stderr}${text.slice(-2000)}`
    const complaint = COMPLAINT.exec(text)
    if (complaint !== null) return `the kernel complained: ${text.slice(complaint.index, complaint.index + 2000)}`
    const missing = rounds.find(({ prints }) => !text.includes(`\n${prints}`))
    if (missing !== undefined) return `'${missing.command}' did not print '${missing.prints}':\n${text.slice(-3000)}`
  },
}
