// File systems and databases under power losses, each from one boot: the crash tests of examples/cluster. Those that sync keep what they
// have promised through 200 losses, and of those that do not sync a loss is found.
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster, type ClusterEvent, readCluster } from '@retrap/cluster'
import type { Soak } from '@retrap/tooling/soak'
import { hostOf } from '../../src/commands/cluster/workers.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples/cluster')
const LOSSES = 200
/** Each with a text, and one in its place by which it does not sync. */
const CASES = [
  ['crash-files', '"ext4"', '"ext4", "--no-sync"'],
  ['crash-sqlite', '"FULL"', '"OFF"'],
  ['crash-btrfs', '"btrfs"]', '"btrfs", "--no-sync"]'],
  ['crash-postgres', 'fsync=on', 'fsync=off'],
] as const

let folder = ''
const totals: Record<string, Record<'branches' | 'losses' | 'inWrite' | 'checks', number>> = {}

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
    const [name, ...unsafe] = CASES[index % CASES.length]!
    const [isSafe, file] = [index < CASES.length, join(folder, `${name}.json`)]
    const text = fs.readFileSync(file, 'utf8')
    const description = readCluster(JSON.parse(isSafe ? text : text.replace(...unsafe)))
    const total = (totals[isSafe ? name : `${name}: ${unsafe[1]}`] = { branches: 0, losses: 0, inWrite: 0, checks: 0 })
    const onEvent = ({ text: line }: ClusterEvent): void => {
      total.losses += Number(line.startsWith('power,'))
      total.inWrite += Number(/^of \d+ writes that were not flushed/.test(line))
      total.checks += Number(line.startsWith('found '))
    }
    const ways = { isForked: true, isCompiled: true }
    const host = hostOf({ file, machines: description.machines, ways }, 1, () => undefined)
    const seed = rng.u32()
    let cluster: Cluster | undefined
    try {
      cluster = await Cluster.start(description, seed, host)
      let { failure } = cluster
      while (total.losses < LOSSES && failure === undefined) {
        const branch = await cluster.fork({ onEvent })
        failure = (await branch.finish({ number: ++total.branches }).finally(() => branch.close())).failure
      }
      rng.note('example', `${name}.json, seed ${seed}, branch ${total.branches}`)
      return isSafe ? failure : failure === undefined ? `${LOSSES} losses have lost nothing` : undefined
    } finally {
      cluster?.close()
      await host.close()
    }
  },
  teardown: () => fs.rmSync(folder, { recursive: true, force: true }),
  summary: () => JSON.stringify(totals),
}
