// Runs of `retrap exec --stay` by the built command, twenty at once, each of which looks for leftovers of the others. A step is twenty of them.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Soak } from '@retrap/tooling/soak'
import { CANARIES, canaryScript } from '../support/canaries.ts'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const AT_ONCE = 20
const folder = mkdtempSync(join(tmpdir(), 'retrap-stay-'))
const env = { ...process.env, XDG_RUNTIME_DIR: folder, RETRAP_STAY: '2m' }
const own = new Set<string>()

async function run(number: number): Promise<string> {
  const child = spawn(process.execPath, [MAIN, 'exec', '--', 'sh', '-c', canaryScript(number)], { env })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await once(child, 'close')
  const words = said.trim().split(' ')
  for (const word of words.slice(0, 3)) {
    if (own.has(word)) return `${word} again`
    own.add(word)
  }
  return words.slice(3).join(' ') === CANARIES ? '' : said
}

export const soak: Soak = {
  name: 'exec-stay',
  count: 50,
  async step(_, index) {
    const all = await Promise.all(Array.from({ length: AT_ONCE }, (_each, i) => run(AT_ONCE * index + i)))
    return all.find((found) => found !== '')
  },
  teardown: () => void spawnSync(process.execPath, [MAIN, 'exec', '--stop'], { env }),
}
