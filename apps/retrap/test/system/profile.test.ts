import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Apt } from '@retrap/debian'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import { type CpuProfile, GuestProfile } from '../../src/machine/profile/guest-profile.ts'
import { linuxNames } from '../../src/machine/profile/guest-names.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { answerPrompts, kernelShell } from '../support/kernel-shell.ts'
import { runRetrap } from '../support/processes.ts'

const PROGRAM = fileURLToPath(new URL('programs/three-functions.c', import.meta.url))
const DEADLINE_MS = 240_000

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn("SKIPPED: a profile of Debian's kernel needs apt, which is not on this machine")

const folder = temporaryFolder('profile')

const FLAGS =
  '-m32 -O1 -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-pic -no-pie -ffreestanding -nostdlib -static'.split(
    ' ',
  )
const built = spawnSync('gcc', [...FLAGS, '-o', '/dev/null', PROGRAM]).status === 0
if (!built) console.warn('SKIPPED: a profile of a C program needs gcc -m32')

/** Microseconds of each stack, as `root;caller;function`. */
function stacksOf({ nodes, samples, timeDeltas, startTime, endTime }: CpuProfile): Map<string, number> {
  const names = new Map<number, string>()
  const visit = (id: number, path: string): void => {
    const { callFrame, children } = nodes[id - 1]!
    const name = path === '' ? callFrame.functionName : `${path};${callFrame.functionName}`
    names.set(id, name)
    for (const child of children) visit(child, name)
  }
  visit(1, '')
  const stacks = new Map<string, number>()
  let time = startTime
  for (const [i, id] of samples.entries()) {
    time += timeDeltas[i]!
    const name = names.get(id)!
    stacks.set(name, (stacks.get(name) ?? 0) + (timeDeltas[i + 1] ?? endTime - time))
  }
  return stacks
}

describe.skipIf(!built)('a profile of a program in C', () => {
  let kernel = ''
  beforeAll(() => {
    kernel = join(folder, 'kernel')
    const linked = ['-Wl,-Ttext=0x101000,--build-id=none', '-o', kernel, PROGRAM]
    const { status, stderr } = spawnSync('gcc', [...FLAGS, ...linked])
    expect([status, String(stderr)]).toEqual([0, expect.any(String)])
  })

  /** Runs the program. @returns the file that was written, as text */
  async function profile(name: string, ...args: readonly string[]): Promise<string> {
    const file = join(folder, name)
    const device = ['--device', 'isa-debug-exit,iobase=0xf4,iosize=1']
    const command = ['run', '--kernel', kernel, ...device, '--memory', '16M', '--profile', file, ...args]
    const { code, stderr } = await runRetrap(command, { deadlineMs: DEADLINE_MS })
    expect([code, stderr]).toEqual([1, ''])
    return readFile(file, 'utf8')
  }

  test(
    'has the share of each function, its callers, and is the same with compiled code',
    async () => {
      const interpreted = await profile('off', '--deterministic', '--jit', 'off')
      expect(await profile('on', '--deterministic', '--jit', 'on')).toBe(interpreted)
      const parsed = JSON.parse(interpreted) as CpuProfile
      const stacks = stacksOf(parsed)
      const total = parsed.endTime - parsed.startTime
      const share = (pattern: RegExp): number =>
        [...stacks].reduce((sum, [stack, time]) => sum + (pattern.test(stack) ? time : 0), 0) / total
      // Of 280 samples and more; 0.1 is more than three standard deviations.
      for (const [pattern, expected] of [
        [/;leaf$/, 0.2],
        [/;looped$/, 0.4],
        [/;outer$/, 0.2],
        [/;inner$/, 0.2],
        [/^\(root\);kernel;_start;main;leaf$/, 0.2],
        [/^\(root\);kernel;_start;main;looped$/, 0.4],
        [/^\(root\);kernel;_start;main;outer(;inner)?$/, 0.4],
      ] as const)
        expect([pattern, Math.abs(share(pattern) - expected) < 0.1]).toEqual([pattern, true])
      for (const { callFrame } of parsed.nodes)
        if (!['(root)', 'kernel'].includes(callFrame.functionName)) expect(callFrame.url).toBe('kernel')
    },
    DEADLINE_MS,
  )

  test("follows the host's time otherwise", { timeout: DEADLINE_MS }, async () => {
    const { startTime, endTime, nodes } = JSON.parse(await profile('real')) as CpuProfile
    expect(endTime - startTime).toBeGreaterThan(20_000)
    expect(nodes.map(({ callFrame }) => callFrame.functionName)).toEqual(expect.arrayContaining(['leaf', 'looped']))
  })

  test('a file that cannot be written is refused before the machine starts', async () => {
    const args = ['run', '--kernel', kernel, '--profile', join(folder, 'gone', 'file')]
    const { code, stderr } = await runRetrap(args, { deadlineMs: DEADLINE_MS })
    expect(code).toBe(74)
    expect(stderr).toMatch(/^retrap: cannot write the profile .*gone/)
  })
})

test.skipIf(!hasApt)(
  "the functions of Debian's kernel have the names that it gives them itself, and processes are told apart",
  async () => {
    const profile = new GuestProfile(join(folder, 'linux'), 1)
    const names = new Map<bigint, string[]>()
    const { pc, kernel } = await kernelShell({
      commandLine: TO_DEVICES,
      sampling: { onSample: profile.onSample, onIdle: profile.onIdle, intervalMs: 0.1 },
    })
    // Each hundredth line of all symbols.
    const commands = [
      'sha256sum /bin/busybox /bin/busybox; (sha256sum /bin/busybox)',
      "awk 'NR % 100 == 0' /proc/kallsyms; echo all",
      'poweroff -f',
    ]
    const told = answerPrompts(pc, commands)
    expect((await pc.run({ timeoutMs: DEADLINE_MS })).reason).toBe('power-off')
    for (const [, address, name] of told().matchAll(/^([0-9a-f]{16}) [tTwW] (\S+)\r$/gm)) {
      const at = BigInt(`0x${address}`)
      names.set(at, [...(names.get(at) ?? []), name!])
    }
    expect(names.size).toBeGreaterThan(200)
    const [linux] = linuxNames(pc)
    const wrong = [...names].filter(([at, known]) => !known.includes(linux?.table.nameOf(at) ?? ''))
    // Of several names for one address, another may be shown.
    expect(wrong.length / names.size).toBeLessThan(0.02)
    profile.resolve(pc, kernel)
    const groups = profile.builder.build().nodes.map(({ callFrame }) => callFrame.functionName)
    expect(groups).toContain('kernel')
    expect(
      new Set(groups.filter((name) => /^(sh|busybox|init|exe), page tables 0x[0-9a-f]+$/.test(name))).size,
    ).toBeGreaterThan(1)
  },
  DEADLINE_MS,
)
