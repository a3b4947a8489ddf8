// File systems and databases under power losses, each from one boot: the crash tests of examples/cluster. Those that sync keep what they
// have promised through 200 losses or more, and of those that do not sync a loss is found.
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { runRetrap } from '../support/processes.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples/cluster')
/** Each branch has ten losses or twenty. */
const BRANCHES = ['--from-start', '--blind', '--branches', '24']
/** Each with a text, and one in its place by which it does not sync. */
const CASES = [
  ['crash-files', '"ext4"', '"ext4", "--no-sync"'],
  ['crash-sqlite', '"FULL"', '"OFF"'],
  ['crash-btrfs', '"btrfs"]', '"btrfs", "--no-sync"]'],
  ['crash-postgres', 'fsync=on', 'fsync=off'],
] as const

let folder = ''
const totals: Record<string, string> = {}

export const soak: Soak = {
  name: 'cluster-crash',
  count: 2 * CASES.length,
  setup() {
    folder = fs.mkdtempSync(join(tmpdir(), 'retrap-crash-'))
    for (const name of fs.globSync('crash-*.{sh,json}', { cwd: EXAMPLES }))
      fs.cpSync(join(EXAMPLES, name), join(folder, name.endsWith('.sh') ? 'bin' : '.', name))
    const words = ['-O2', '-static', '-o', join(folder, 'bin/crash-files'), join(EXAMPLES, 'crash-files.c')]
    if (spawnSync('cc', words).status !== 0) throw new Error(`cc ${words.join(' ')} failed`)
  },
  async step(rng, index) {
    const [name, from, to] = CASES[index % CASES.length]!
    const [isSafe, file] = [index < CASES.length, join(folder, `${name}-${index}.json`)]
    const text = fs.readFileSync(join(EXAMPLES, `${name}.json`), 'utf8')
    fs.writeFileSync(file, isSafe ? text : text.replace(from, to))
    const words = ['cluster', 'explore', file, '--seed', `${rng.u32()}`, ...BRANCHES]
    const { code, stdout, stderr } = await runRetrap(words, { deadlineMs: 36_000_000 })
    // One fault of each branch is a slow disk.
    const losses = [...stdout.matchAll(/^branch \d+: (\d+) faults/gm)].reduce(
      (sum, [, one]) => sum + Number(one) - 1,
      0,
    )
    totals[`${name} ${isSafe ? '' : to}`] = `${losses} losses of power: ${stderr.split('\n').at(-2)}`
    if (code !== (isSafe ? 0 : 1)) return `${words.join(' ')}: ${stdout}${stderr}`
  },
  teardown: () => fs.rmSync(folder, { recursive: true, force: true }),
  summary: () => JSON.stringify(totals, undefined, 2),
}
