import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostCpu } from '@retrap/tooling/host-cpu'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 240_000
const MARK = '== '

const cpu = hostCpu()
const canCompare = typeof cpu !== 'string' && (await Apt.isAvailable()) && hasProgram('gcc')
const note = skipNote(canCompare, typeof cpu === 'string' ? cpu : 'there is no gcc, or no apt')

interface Program {
  readonly name: string
  /** Its file in `programs/`. */
  readonly source: string
  /** What its compiler is allowed to use. */
  readonly flags?: readonly string[]
  /** What the processor must have, as CPUID's features are called. */
  readonly needs?: readonly string[]
}

const PROGRAMS: readonly Program[] = [
  { name: 'a debugger: single-step, breakpoints, watchpoints', source: 'debugger' },
  { name: 'exceptions as signals', source: 'signals' },
  { name: 'threads: atomics, TLB shootdowns, code that another thread writes', source: 'threads' },
  {
    name: 'vectors: AVX2, FMA, half precision, AES; their state in signals and threads',
    source: 'vectors',
    flags: ['-mavx2', '-mfma', '-mf16c', '-maes', '-mpclmul'],
    needs: ['AVX2', 'FMA', 'F16C', 'AES', 'PCLMULQDQ', 'GFNI'],
  },
]

const lackOf = ({ needs = [] }: Program): string =>
  needs.filter((feature) => typeof cpu === 'string' || !cpu.has(feature)).join(', ')
const runnable = PROGRAMS.filter((program) => lackOf(program) === '')

/**
 * Programs compiled here and now, run by this machine's own kernel and processor and by Debian's kernel in the guest:
 * they must print the same.
 */
describe.skipIf(!canCompare)(`programs cannot tell the guest from the host${note}`, () => {
  let folder = ''
  const native = new Map<string, string>()
  const inGuest = new Map<string, string>()

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retrap-programs-'))
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    const binaries: { source: string; data: Uint8Array }[] = []
    for (const { source, flags: own = [] } of runnable) {
      const file = join(folder, source)
      const isFixed = ['-static', '-no-pie', '-fno-pie', '-fcf-protection=none']
      const flags = [...own, '-O1', ...isFixed, '-mno-red-zone', '-pthread']
      const compiled = spawnSync('gcc', [
        ...flags,
        '-o',
        file,
        join(import.meta.dirname, 'programs', `${source}.c`),
        '-lm',
      ])
      if (compiled.status !== 0) throw new Error(String(compiled.stderr))
      native.set(source, spawnSync(file, { encoding: 'utf8', timeout: 60_000 }).stdout)
      binaries.push({ source, data: await readFile(file) })
    }
    const commands = runnable.map(({ source }) => `echo "${MARK}${source}"; /${source}`).join('\n')
    const init = `#!/bin/busybox sh\n${commands}\necho "${MARK}end"\nexec /bin/busybox poweroff -f\n`
    const initrd = writeCpio([
      { kind: 'directory', path: 'bin' },
      { kind: 'directory', path: 'dev' },
      { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
      { kind: 'file', path: 'bin/busybox', mode: 0o755, data: await readFile(busyboxPath) },
      { kind: 'file', path: 'init', mode: 0o755, data: new TextEncoder().encode(init) },
      ...binaries.map(({ source, data }) => ({ kind: 'file', path: source, mode: 0o755, data }) as const),
    ])
    const initrdPath = join(folder, 'initrd')
    await writeFile(initrdPath, initrd)
    const args = ['run', '--kernel', kernelPath, '--initrd', initrdPath, '--cpus', '4', '--memory', '256M']
    const { stdout } = await runRetrap([...args, '--append', 'console=ttyS0 quiet'], { deadlineMs: DEADLINE_MS })
    for (const part of stdout.replaceAll('\r', '').split(MARK).slice(1)) {
      const end = part.indexOf('\n')
      inGuest.set(part.slice(0, end), part.slice(end + 1))
    }
  }, DEADLINE_MS)

  afterAll(async () => rm(folder, { recursive: true, force: true }))

  for (const program of PROGRAMS) {
    const { name, source } = program
    const lack = lackOf(program)
    test.skipIf(lack !== '')(`${name}${skipNote(lack === '', `the host has no ${lack}`)}`, () => {
      expect(native.get(source)).toMatch(/\n/)
      expect(inGuest.get(source)).toBe(native.get(source))
    })
  }
})
