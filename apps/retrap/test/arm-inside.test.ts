// What --stats, --jit-dump and --devices worker say of an Arm board.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { armImage, POWER_OFF } from '@retrap/tooling/arm-image'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import type { CpuProfile } from '../src/machine/profile/guest-profile.ts'
import type { RunStatistics } from '../src/machine/session/statistics.ts'
import { runHere } from './support/in-process.ts'

const DEADLINE_MS = 120_000
/** Rounds of the guest's loop: on a fast host, too, the guest runs on when its code has been watched, and was compiled. */
const ROUNDS = 200_000_000

/** An arm64 Image: counts down, writes to the PL011, and asks PSCI for power-off. */
function guest(rounds: number): Uint8Array {
  const program = [
    0xd2a0_0001 | ((rounds >>> 16) << 5), // mov x1, #…
    0xf280_0001 | ((rounds & 0xffff) << 5), // movk x1, #…
    0x8b01_0042, // again: add x2, x2, x1
    0xca02_0063, // eor x3, x3, x2
    0xf100_0421, // subs x1, x1, #1
    0x54ff_ffa1, // b.ne again
    0xd2a1_2001, // mov x1, #0x9000000
    0x5280_0d02, // mov w2, #'h'
    0xb900_0022, // str w2, [x1]
    ...POWER_OFF,
  ]
  return armImage(...program)
}

const folder = temporaryFolder('arm-inside')
writeFileSync(join(folder, 'kernel'), guest(ROUNDS))
writeFileSync(join(folder, 'short'), guest(1000))

async function run(...options: readonly string[]): Promise<string> {
  const place = ['run', '--arch', 'arm64', '--kernel', join(folder, 'kernel'), '--memory', '64M', '--timeout', '100']
  const { code, stdout, stderr } = await runHere([...place, ...options], { deadlineMs: DEADLINE_MS })
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'h' })
  return stderr
}

test('--stats tells what was compiled and what was interpreted', { timeout: DEADLINE_MS }, async () => {
  const { instructions, counts } = JSON.parse(await run('--stats', 'json')) as RunStatistics
  expect(instructions).toBeGreaterThan(4 * ROUNDS)
  expect(counts).toMatchObject({ jit: { units: expect.any(Number), failures: 0 } })
  const { units, revived, executed } = counts['jit'] as Readonly<Record<'units' | 'revived' | 'executed', number>>
  expect(units + revived).toBeGreaterThan(0)
  expect(executed).toBeGreaterThan(2 * ROUNDS)
  const text = await run('--stats', 'text')
  expect(text).toMatch(/^executed +[\d,]+ instructions compiled \(\d+\.\d %\), [\d,]+ interpreted$/m)
  expect(text).toMatch(/^JIT exits +.*target \d/m)
  expect(text).toMatch(/^TLB misses +\d/m)
  const short = ['--kernel', join(folder, 'short')]
  const interpreted = JSON.parse(await run(...short, '--stats', 'json', '--jit', 'off')) as RunStatistics
  expect(interpreted.counts).not.toHaveProperty('jit')
})

test('--jit-dump has each instruction before the WebAssembly of it', { timeout: DEADLINE_MS }, async () => {
  const dump = join(folder, 'units')
  expect(await run('--jit-dump', dump)).toBe('')
  const texts = readdirSync(dump).map((name) => readFileSync(join(dump, name), 'utf8'))
  const unit = texts.find((text) => text.includes('b.ne'))
  expect(unit).toMatch(/;; 00000000400\w+ {2}42 00 01 8b {12}add x2, x2, x1\n( +(?!;;).*\n)*? +i64\.add\n/)
  expect(unit).toMatch(/eor x3, x3, x2\n( +(?!;;).*\n)*? +i64\.xor\n/)
  expect(unit).toMatch(/subs x1, x1, #1\n( +(?!;;).*\n)*? +;; \w+ {2}a1 ff ff 54 {12}b\.ne 0x\w+\n/)
})

test('--devices worker has the models of the board in a Worker', { timeout: DEADLINE_MS }, async () => {
  const asked = async (...options: readonly string[]): Promise<string> => {
    const trace = join(folder, 'trace')
    expect(await run('--trace', 'ioreq', '--trace-to', trace, ...options)).toBe('')
    return readFileSync(trace, 'utf8').replaceAll(/^\[.*?\] /gm, '')
  }
  const write = 'mmio write of 4 bytes at 0x9000000 ← 0x68'
  expect(await asked()).toBe(`vcpu 0 ioreq pl011-9000000 done: ${write}\n`)
  expect(await asked('--devices', 'worker')).toMatch(new RegExp(`^vcpu 0 ioreq board .*${write}`))
})

test('--profile has where the guest spends its time, compiled or not', { timeout: DEADLINE_MS }, async () => {
  const profile = async (jit: 'on' | 'off'): Promise<string> => {
    const file = join(folder, `${jit}.cpuprofile`)
    expect(await run('--deterministic', '--jit', jit, '--profile', file)).toBe('')
    return readFileSync(file, 'utf8')
  }
  const text = await profile('off')
  expect(await profile('on')).toBe(text)
  const { nodes, samples } = JSON.parse(text) as CpuProfile
  // The loop's four instructions are the third to the sixth behind the header of the image.
  const names = nodes.slice(2).map(({ callFrame }) => Number(callFrame.functionName) & 0xfff)
  expect(nodes[1]!.callFrame.functionName).toBe('kernel')
  expect(names.toSorted((a, b) => a - b).every((at) => at >= 0x48 && at <= 0x54)).toBe(true)
  expect(samples.length).toBeGreaterThan(5)
})
