/** `--profile` of Debian's processes: call trees of programs of ours, with their symbols, and of busybox, which has none. */
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Apt } from '@retrap/debian'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import type { CpuProfile } from '../../src/machine/profile/guest-profile.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 240_000
const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: a profile of processes needs apt, which is not on this machine')

const PROGRAM = fileURLToPath(new URL('programs/call-chain.c', import.meta.url))
const FLAGS = ['-O1', '-fno-omit-frame-pointer', '-fno-optimize-sibling-calls']

const folder = temporaryFolder('processes')

/** Each stack of a profile, as `process;caller;function` without the addresses of page tables. */
async function stacksOf(file: string): Promise<string[]> {
  const { nodes } = JSON.parse(await readFile(file, 'utf8')) as CpuProfile
  const stacks: string[] = []
  const visit = (id: number, path: readonly string[]): void => {
    const { callFrame, children, hitCount } = nodes[id - 1]!
    const names = id === 1 ? [] : [...path, callFrame.functionName]
    if (hitCount > 0) stacks.push(names.join(';').replace(/, page tables 0x[\da-f]+/, ''))
    for (const child of children) visit(child, names)
  }
  visit(1, [])
  return stacks
}

/** Boots Debian with a first process of ours. @returns the stacks of the profile */
async function profile(
  architecture: 'amd64' | 'arm64',
  script: string,
  files: Readonly<Record<string, Uint8Array>>,
  ...options: readonly string[]
): Promise<string[]> {
  const arm = architecture === 'arm64'
  const { kernelPath, busyboxPath } = await fetchLinux(`linux-image-${arm ? 'arm64' : 'cloud-amd64'}`, {}, architecture)
  const initrd = join(folder, `${architecture}.cpio`)
  const file = (path: string, data: Uint8Array) => ({ kind: 'file', path, mode: 0o755, data }) as const
  const cpio = writeCpio([
    ...['bin', 'dev', 'proc', 'sys'].map((path) => ({ kind: 'directory', path }) as const),
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    file('bin/busybox', await readFile(busyboxPath)),
    ...Object.entries(files).map(([name, data]) => file(`bin/${name}`, data)),
    file('init', new TextEncoder().encode(`${FIRST_PROCESS}${script}\npoweroff -f\n`)),
  ])
  await writeFile(initrd, cpio)
  const output = join(folder, `${architecture}.cpuprofile`)
  const command = ['run', '--arch', architecture, '--kernel', kernelPath, '--initrd', initrd, '--memory', '256M']
  const console = arm ? TO_DEVICES.replace('ttyS0', 'ttyAMA0') : TO_DEVICES
  const { code, stderr } = await runRetrap(
    [...command, '--append', console, '--profile', output, '--timeout', '200', ...options],
    { deadlineMs: DEADLINE_MS },
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stacksOf(output)
}

const canBuild = hasProgram('gcc') && hasProgram('strip')
describe.skipIf(!hasApt || !canBuild)(`programs in C${skipNote(canBuild, 'gcc or strip not installed')}`, () => {
  test(
    'have call trees by symbol, where they lie where they were linked for and where they do not, stripped or not',
    async () => {
      const build = async (
        name: string,
        ...flags: readonly string[]
      ): Promise<[whole: string, stripped: Uint8Array]> => {
        const path = join(folder, name)
        const built = spawnSync('gcc', [...FLAGS, ...flags, '-o', path, PROGRAM])
        expect([built.status, String(built.stderr)]).toEqual([0, ''])
        spawnSync('strip', ['-o', `${path}.stripped`, path])
        return [path, await readFile(`${path}.stripped`)]
      }
      const [fixed, strippedFixed] = await build('fixed', '-static', '-no-pie')
      const [anywhere, strippedAnywhere] = await build('anywhere', '-static-pie')
      const stacks = await profile(
        'amd64',
        'fixed; anywhere; unknown',
        { fixed: strippedFixed, anywhere: strippedAnywhere, unknown: strippedFixed },
        ...['--symbols', fixed, '--symbols', anywhere],
      )
      for (const name of ['fixed', 'anywhere'])
        expect(stacks).toContainEqual(
          expect.stringMatching(
            new RegExp(`^${name};.*main \\(in ${name}\\);middle \\(in ${name}\\);leaf \\(in ${name}\\)$`),
          ),
        )
      // A copy under another name is the same program.
      expect(stacks).toContainEqual(expect.stringMatching(/^unknown;.*;leaf \(in fixed\)$/))
      expect(stacks.filter((stack) => /^(fixed|anywhere);.*;0x/.test(stack))).toEqual([])
    },
    DEADLINE_MS,
  )
})

test.skipIf(!hasApt)(
  'busybox of an Arm board has call trees of places in it, and its kernel those by name',
  async () => {
    const stacks = await profile(
      'arm64',
      'i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; sha256sum bin/busybox',
      {},
    )
    expect(stacks).toContainEqual(expect.stringMatching(/^init(;init\+0x[\da-f]+){3,}$/))
    expect(stacks).toContainEqual(expect.stringMatching(/^kernel;.*;kernel_init_freeable;/))
    const places = stacks.filter((stack) => stack.startsWith('init;'))
    expect(places.filter((stack) => stack.includes(';0x')).length).toBeLessThan(places.length / 10)
  },
  DEADLINE_MS,
)

test.skipIf(!hasApt)('--symbols goes with --profile, and with what has symbols', async () => {
  const { busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
  const run = async (...args: readonly string[]): Promise<string> =>
    (await runRetrap(['run', '--kernel', busyboxPath, ...args], { deadlineMs: DEADLINE_MS })).stderr
  expect(await run('--symbols', busyboxPath)).toBe('retrap: --symbols needs --profile FILE\n')
  const output = join(folder, 'none.cpuprofile')
  expect(await run('--profile', output, '--symbols', PROGRAM)).toMatch(/^retrap: --symbols .*: it is no ELF program/)
  expect(await run('--profile', output, '--symbols', join(folder, 'gone'))).toMatch(
    /^retrap: --symbols .*: there is no such file/,
  )
})
