// Boots Debian on Xen, 64-bit and 32-bit, on a random machine, and has it give memory back and take it again while it works.
import type { Rng, Soak } from '@retrap/tooling/soak'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Apt, unpackPackage } from '../../src/linux/apt.ts'
import { defaultCacheDirectory, fetchLinux } from '../../src/linux/debian.ts'
import { buildInitramfs } from '../../src/linux/initramfs.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 600_000
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT = /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic|unchecked MSR|nobody cared|segfault/
const XEN = '/sys/devices/system/xen_memory/xen_memory0'
/** Kernel and initial RAM disk of a 32-bit system with PAE: that is the one which knows Xen. */
const folder32 = join(defaultCacheDirectory(), 'debian-12', 'xen-686-pae')

async function fetch32(): Promise<void> {
  if (existsSync(folder32)) return
  const root = defaultCacheDirectory()
  await mkdir(join(root, 'debian-12'), { recursive: true })
  const temporary = await mkdtemp(join(root, 'fetch-'))
  try {
    const quiet = (): void => {}
    const options = { directory: join(temporary, 'apt'), architectures: ['amd64', 'i386'], withoutSecurity: true }
    const apt = await Apt.open(options, quiet)
    const { dependsOn } = await apt.show('linux-image-686-pae:i386')
    const kernel = dependsOn.find((name) => name.startsWith('linux-image'))
    const archives = await apt.download([`${kernel}:i386`, 'busybox-static:i386'], quiet)
    const files = join(temporary, 'files')
    for (const file of await readdir(archives)) {
      const members = file.startsWith('busybox') ? ['./bin/busybox'] : ['./boot/vmlinuz-*']
      await unpackPackage(join(archives, file), files, members)
    }
    const [vmlinuz = ''] = await readdir(join(files, 'boot'))
    await rename(join(files, 'boot', vmlinuz), join(files, 'vmlinuz'))
    await writeFile(join(files, 'initrd'), buildInitramfs(await readFile(join(files, 'bin', 'busybox'))))
    await rename(files, folder32)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** A target for the balloon, reached within a time, and some work at the same time whose answer is known. */
function round(rng: Rng, memory: number): { readonly command: string; readonly prints: string } {
  const target = rng.between(112, memory - 16) * 1024
  const count = rng.between(1, 5000)
  const text = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('')
  const reached = `while [ $(cat ${XEN}/info/current_kb) != ${target} ] && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done`
  return {
    command: `echo ${target} > ${XEN}/target_kb; seq ${count} | sha256sum; n=0; ${reached}; cat ${XEN}/info/current_kb`,
    prints: `${createHash('sha256').update(text).digest('hex')}  -\n${target}\n`,
  }
}

export const soak: Soak = {
  name: 'xen',
  count: 10,
  async setup() {
    await fetchLinux('linux-image-cloud-amd64')
    await fetch32()
  },
  async step(rng) {
    const memory = rng.between(192, 512)
    const wide = rng.chance(3, 4)
    const append = ['quiet', ...(rng.chance(1, 4) ? ['xen_no_vector_callback'] : [])]
    const args = [
      ...(wide ? ['linux'] : ['run', '--kernel', join(folder32, 'vmlinuz'), '--initrd', join(folder32, 'initrd')]),
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
