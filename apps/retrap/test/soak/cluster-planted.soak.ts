// The planted faults of examples/cluster: `explore` finds each with each of five seeds, needs three faults at most for it, and finds
// none in the sound programs, which are the same without the flag.
import { faultsOf, type Stretch } from '@retrap/cluster'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { runRetrap } from '../support/processes.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples/cluster')
const NAMES = ['tickets', 'wake', 'lock', 'queue', 'raft']
const [FIND_SECONDS, SOUND_SECONDS, DEADLINE_MS] = [600, 60, 1_800_000]
const MOST_FAULTS = 3

let folder = ''
const found: string[] = []

export const soak: Soak = {
  name: 'cluster-planted',
  count: 5 * NAMES.length,
  setup() {
    folder = mkdtempSync(join(tmpdir(), 'retrap-planted-'))
    mkdirSync(join(folder, 'bin'))
    for (const name of NAMES) {
      const words = ['-O2', '-static', '-o', join(folder, 'bin', name), join(EXAMPLES, `${name}.c`)]
      if (spawnSync('cc', words).status !== 0) throw new Error(`cc ${words.join(' ')} failed`)
      const text = readFileSync(join(EXAMPLES, `${name}.json`), 'utf8')
      writeFileSync(join(folder, `${name}.json`), text)
      writeFileSync(join(folder, `${name}-sound.json`), text.replaceAll(/,\s*"--[a-z-]+"/g, ''))
    }
  },
  async step(rng, index) {
    const name = NAMES[index % NAMES.length]!
    const seed = 1 + Math.floor(index / NAMES.length)
    rng.note('example', `${name}, seed ${seed}`)
    const plan = join(folder, `${name}-${seed}.plan`)
    const explore = (file: string, seconds: number, ...more: string[]) => {
      const words = ['--seed', `${seed}`, '--for', `${seconds}`, ...more]
      return runRetrap(['cluster', 'explore', join(folder, file), ...words], { deadlineMs: DEADLINE_MS })
    }
    const begin = performance.now()
    const bad = await explore(`${name}.json`, FIND_SECONDS, '--out', plan)
    if (bad.code !== 1) return `it was not found: ${bad.stdout}${bad.stderr}`
    const faults = faultsOf((JSON.parse(readFileSync(plan, 'utf8')) as { path: Stretch[] }).path)
    const seconds = Math.round((performance.now() - begin) / 1000)
    found.push(`${name}, seed ${seed}: ${faults.length} faults, after ${seconds} s`)
    if (faults.length === 0 || faults.length > MOST_FAULTS) return `the plan has ${faults.length} faults: ${bad.stdout}`
    // The recorded failure is the one that is not recorded, and comes again from its file.
    const [plain, again] = await Promise.all(
      [
        ['run', join(folder, `${name}.json`), '--plan', plan],
        ['replay', `${plan}.run`],
      ].map((words) => runRetrap(['cluster', ...words, '--jsonl'], { deadlineMs: DEADLINE_MS })),
    )
    if (!again!.stdout || !plain!.stdout.startsWith(again!.stdout)) return `the recording differs: ${again!.stderr}`
    const sound = await explore(`${name}-sound.json`, SOUND_SECONDS)
    if (sound.code !== 0) return `the sound one fails: ${sound.stdout}${sound.stderr}`
  },
  teardown: () => rmSync(folder, { recursive: true, force: true }),
  summary: () => found.join('\n'),
}
