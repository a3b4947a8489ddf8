// The folders of examples/compose, a folder a step, each with five seeds. Their templates demand what the software promises, which NATS does
// not keep. A second run, on one thread, prints the same as the first. Images are of Debian's packages, by umoci.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { runRetrap } from '../support/processes.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples/compose')
const DEADLINE_MS = 3_600_000
/** Words of image.sh. */
const IMAGES = [
  'busybox 1.35 busybox-static',
  'etcd 3.4 etcd-server etcd-client',
  'mariadb 10.11 mariadb-server galera-4 bash procps iproute2 hostname findutils gawk util-linux',
  'nats 2.9 nats-server busybox-static',
  'postgres 15 postgresql-15 util-linux',
  'redis 7.0 redis-server redis-sentinel',
  'socat 1.7 socat',
]
const FOLDERS = readdirSync(EXAMPLES, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? one.name : []))
const seen: string[] = []

export const soak: Soak = {
  name: 'compose-examples',
  count: 5 * FOLDERS.length,
  setup() {
    for (const words of IMAGES) {
      const { status, stderr } = spawnSync('sh', [join(EXAMPLES, 'image.sh'), ...words.split(' ')], {
        encoding: 'utf8',
      })
      if (status !== 0) throw new Error(`image.sh ${words} failed: ${stderr}`)
    }
  },
  async step(rng, index) {
    const name = FOLDERS[index % FOLDERS.length]!
    const seed = `${1 + Math.floor(index / FOLDERS.length)}`
    rng.note('folder', `${name}, seed ${seed}`)
    const words = ['cluster', 'run', join(EXAMPLES, name), '--images', '/tmp/retrap-images', '--seed', seed, '--jsonl']
    const first = await runRetrap(words, { deadlineMs: DEADLINE_MS })
    seen.push(`${name}: ${first.stderr.trim().split('\n').at(-1)!}`)
    if (first.code !== 0 && !(name === 'nats' && first.code === 1)) return first.stderr
    const again = await runRetrap([...words, '--workers', '1'], { deadlineMs: DEADLINE_MS })
    if (again.stdout !== first.stdout) return `it ends in another way when it is run again: ${again.stderr}`
  },
  summary: () => seen.join('\n'),
}
