// Code that a run has compiled is the next run's.
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { PackFile } from '@retrap/linux-guest/machine/unit-cache/pack-file'
import { runHere } from '../support/in-process.ts'
import { runProgram, SOURCE_START } from '../support/processes.ts'

const DEADLINE_MS = 120_000
const INPUT = 'cpuid\nmemory\noff\n'

interface Run {
  readonly stdout: string
  readonly instructions: number
  /** Units that were compiled, and those that came from the cache. */
  readonly counts: readonly [units: number | undefined, loaded: number | undefined]
  /** What it says besides its statistics. */
  readonly words: string
  /** The pack that there is after it. */
  readonly pack: string
}

interface Statistics {
  readonly instructions: number
  readonly counts: { readonly jit?: { readonly units: number; readonly loaded: number } }
}

let folder: string
beforeEach(() => (folder = join(mkdtempSync(join(tmpdir(), 'retrap-units-')), 'units')))
afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }))

function runOf({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }): Run {
  expect(code).toBe(0)
  const lines = stderr.split('\n')
  const { instructions, counts } = JSON.parse(lines.find((line) => line.startsWith('{'))!) as Statistics
  const words = lines.filter((line) => !line.startsWith('{')).join('\n')
  return {
    stdout,
    instructions,
    counts: [counts.jit?.units, counts.jit?.loaded],
    words: words.trim(),
    pack: packs()[0] ?? '',
  }
}

const OPTIONS = ['--deterministic', '--stats', 'json', '--unit-cache']
/** Runs a guest whose loop is compiled. */
const guest = async (where: string = folder): Promise<Run> =>
  runOf(await runHere([...OPTIONS, where], { input: INPUT, deadlineMs: DEADLINE_MS }))
const packs = (): string[] => globSync('*', { cwd: folder })

describe('the second run of a guest', () => {
  let pack: Buffer
  let cold: Run
  beforeAll(async () => {
    folder = join(mkdtempSync(join(tmpdir(), 'retrap-units-')), 'units')
    cold = await guest()
    pack = readFileSync(join(folder, packs()[0]!))
    rmSync(join(folder, '..'), { recursive: true })
  }, DEADLINE_MS)

  /** Puts what the first run has written into the folder. @returns its path */
  function put(bytes: Uint8Array): string {
    const path = join(folder, cold.pack)
    mkdirSync(folder, { mode: 0o700 })
    writeFileSync(path, bytes)
    return path
  }

  test(
    'compiles nothing, and does and prints the same; so does one without the cache',
    { timeout: DEADLINE_MS },
    async () => {
      put(pack)
      const [warm, off] = [await guest(), await guest('off')]
      expect(cold.counts[0]).toBeGreaterThan(0)
      expect([cold.counts[1], warm.counts[0], off.counts[1]]).toEqual([0, 0, 0])
      expect(warm.counts[1]).toBeGreaterThan(0)
      for (const run of [warm, off])
        expect([run.stdout, run.instructions, run.words]).toEqual([cold.stdout, cold.instructions, ''])
      expect(packs()).toEqual([cold.pack])
    },
  )

  test.each<[string, (pack: Buffer) => Uint8Array]>([
    ['damaged', (bytes) => bytes.with(bytes.length - 9, bytes.at(-9)! ^ 4)],
    ['of another version', (bytes) => bytes.with(4, 99)],
  ])('compiles again what is %s, without a word', { timeout: DEADLINE_MS }, async (_, change) => {
    const path = put(change(pack))
    const next = await guest()
    expect([next.counts[0]! > 0, next.counts[1], next.words]).toEqual([true, 0, ''])
    expect([next.stdout, next.instructions]).toEqual([cold.stdout, cold.instructions])
    const codes = PackFile.open(path)?.codes.map((code) => crc32(code.read()!) === code.sum)
    expect([codes!.length > 0, codes!.includes(false)]).toEqual([true, false])
  })
})

test('two processes at once leave one pack, that the next finds', { timeout: DEADLINE_MS }, async () => {
  const args = [...SOURCE_START, ...OPTIONS, folder]
  const run = async (): Promise<Run> =>
    runOf(await runProgram(process.execPath, args, { input: INPUT, deadlineMs: DEADLINE_MS }))
  const both = await Promise.all([run(), run()])
  expect(both[0].stdout).toBe(both[1].stdout)
  expect(packs()).toHaveLength(1)
  expect((await run()).counts[0]).toBe(0)
})

test('a folder that cannot be is said on stderr, and the guest runs', { timeout: DEADLINE_MS }, async () => {
  const { words, counts } = await guest('/proc/none/units')
  expect(words).toMatch(/^retrap: compiled code is not kept in \/proc\/none\/units: /)
  expect(counts[1]).toBe(0)
})
