// The servers of examples/cluster/real, a row a step, each with five seeds: what they lose is told, and is a violation where they
// promise not to. A second run, on one thread, prints the same as the first.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { runRetrap } from '../support/processes.ts'

const REAL = join(import.meta.dirname, '../../examples/cluster/real')
const DEADLINE_MS = 3_600_000
/** Examples, the packages of their machines, and whether they promise to keep what they have acknowledged. */
const ROWS = [
  { name: 'postgres', packages: ['postgresql-15', 'postgresql-client-15', 'util-linux'], keeps: true },
  { name: 'etcd', packages: ['etcd-server', 'etcd-client'], keeps: true },
  { name: 'nats', packages: ['nats-server'], keeps: false },
  { name: 'redis', packages: ['redis-server', 'redis-sentinel'], keeps: false },
]
const seen: string[] = []

export const soak: Soak = {
  name: 'cluster-real',
  count: 5 * ROWS.length,
  async step(rng, index) {
    const { name, packages, keeps } = ROWS[index % ROWS.length]!
    const seed = `${1 + Math.floor(index / ROWS.length)}`
    rng.note('example', `${name}, seed ${seed}`)
    const made = spawnSync('sh', [join(REAL, 'root.sh'), name, ...packages], { encoding: 'utf8' })
    if (made.status !== 0) throw new Error(`root.sh ${name} failed: ${made.stderr}`)
    const words = ['cluster', 'run', join(REAL, `${name}.json`), '--seed', seed, '--jsonl']
    const first = await runRetrap(words, { deadlineMs: DEADLINE_MS })
    const result = first.stderr.trim().split('\n').at(-1)!
    seen.push(`${name}: ${result}`)
    if (first.code !== 0 && (keeps || first.code !== 1)) return first.stderr
    const again = await runRetrap([...words, '--workers', '1'], { deadlineMs: DEADLINE_MS })
    if (again.stdout !== first.stdout) return `it ends in another way when it is run again: ${again.stderr}`
  },
  summary: () => seen.join('\n'),
}
