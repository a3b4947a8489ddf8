// Each kernel of Debian's that `retrap exec` has, for both processors: it is the version of its package, has its modules, and what a
// program leaves behind ends with it. On all of them runs the eBPF program of examples/kernels, which libbpf fits to each (CO-RE).
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pinnedVersion } from '@retrap/debian'
import type { Soak } from '@retrap/tooling/soak'
import { fetchKernelModules } from '@retrap/linux-guest/linux/debian-drivers'
import { DEBIAN_KERNELS } from '../../src/guests/linux/kernel-names.ts'
import { makeDebianRoot } from '../support/debian-root.ts'
import { runProgram, SOURCE_START } from '../support/processes.ts'

const EXAMPLE = join(import.meta.dirname, '../../examples/kernels')
const PACKAGES = ['clang', 'libbpf-dev', 'make']
const ARCHITECTURES = { 'x86-64': 'amd64', arm64: 'arm64' } as const
const DEADLINE_MS = 3_600_000

/** What tells the kernel, and a program that would hold the outputs for longer than the deadline of the run. */
const TELL = 'uname -r; cat /proc/version; modprobe dummy && ls -d /sys/module/dummy; sleep 9999 & echo end'
const NAMES = DEBIAN_KERNELS.map(({ name }) => name)

/** The root of each processor. Undefined: there is no apt to fetch it. */
const roots = new Map<keyof typeof ARCHITECTURES, string>()

async function exec(arch: keyof typeof ARCHITECTURES, ...words: readonly string[]) {
  const given = ['exec', '--arch', arch, '--root', roots.get(arch)!, '--timeout', '600', ...words]
  return runProgram(process.execPath, [...SOURCE_START, ...given], { deadlineMs: DEADLINE_MS })
}

export const soak: Soak = {
  name: 'exec-kernels',
  count: 2 * Object.keys(ARCHITECTURES).length,
  async setup() {
    for (const [arch, architecture] of Object.entries(ARCHITECTURES)) {
      const root = mkdtempSync(join(tmpdir(), 'retrap-kernels-'))
      if (!(await makeDebianRoot(root, PACKAGES, architecture))) return rmSync(root, { recursive: true })
      cpSync(EXAMPLE, join(root, 'root', 'example'), { recursive: true })
      roots.set(arch as keyof typeof ARCHITECTURES, root)
    }
  },
  async step(rng, index) {
    const arch = index % 2 === 0 ? 'x86-64' : 'arm64'
    rng.note('processor', arch)
    const root = roots.get(arch)
    if (root === undefined) return undefined
    if (index < 2) {
      const ended = await exec(arch, '--kernels', NAMES.join(','), '--', '/bin/sh', '-c', TELL)
      for (const { name, release } of DEBIAN_KERNELS) {
        const { release: running } = await fetchKernelModules(ARCHITECTURES[arch], () => undefined, release)
        const version = pinnedVersion(release, `linux-image-${ARCHITECTURES[arch]}`)!
        const [first, second, ...rest] = ended.stdout.split('\n').filter((line) => line.startsWith(`${name} | `))
        const isRight = first === `${name} | ${running}` && second?.includes(`Debian ${version} (`) === true
        if (!isRight || rest.join() !== `${name} | /sys/module/dummy,${name} | end`) return JSON.stringify(ended)
      }
      return ended.code === 0 ? undefined : JSON.stringify(ended)
    }
    const folder = join(root, 'root', 'example')
    const built = await exec(
      arch,
      '--memory',
      '1G',
      '--share',
      `${folder}:/root/example:rw`,
      '--',
      'make',
      '-C',
      '/root/example',
    )
    if (built.code !== 0) return JSON.stringify(built)
    const ended = await exec(arch, '--kernels', NAMES.join(','), '-w', '/root/example', '--', './execs')
    const passed = ended.stdout.match(/ \| ok \d/g)?.length
    return ended.code === 0 && passed === 5 * NAMES.length ? undefined : JSON.stringify(ended)
  },
  teardown() {
    for (const root of roots.values()) rmSync(root, { recursive: true, force: true })
  },
}
