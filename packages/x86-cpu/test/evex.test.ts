/** Instructions with EVEX and on masks beside the host's processor, compiled beside interpreted, memory beside registers: parts of soaks. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codes } from '@retrap/x86-decoder'
import { cpuModel, loadInstructions } from '@retrap/x86-cpu'
import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { soak } from './soak/evex.soak.ts'
import { soak as memorySoak, STEPS } from './soak/evex-memory.soak.ts'

const SEED = Number(process.env['RETRAP_SEED'] ?? Math.floor(Date.now() / 3_600_000))

test('what instructions of AVX-512 do', { timeout: 180_000 }, async () => {
  const { smallest } = await runSoak(soak, { count: 1, seed: SEED, shrinkMs: 0 })
  expect(smallest).toBeUndefined()
})

test('memory operands are what registers with the same bytes are', { timeout: 180_000 }, async () => {
  const count = 16
  const { smallest } = await runSoak(memorySoak, { count, from: (SEED * count) % STEPS, seed: SEED, shrinkMs: 0 })
  expect(smallest).toBeUndefined()
})

test('the guide says of each feature what it was compared with', async () => {
  await loadInstructions('everything')
  const { features } = cpuModel('everything')
  const guide = readFileSync(join(import.meta.dirname, '../../../apps/docs/pages/guides/avx512.md'), 'utf8')
  const listed = new Set(guide.split('\n').flatMap((line) => /^\| ([A-Z].*?) \|/.exec(line)?.[1]!.split(', ') ?? []))
  const ours = codes.filter(({ encoding, feature }) => encoding === 'evex' || feature.startsWith('AMX'))
  const wanted = ours.flatMap(({ feature }) => (feature.startsWith('APX') ? 'APX_F' : feature.split('+')))
  expect(wanted.filter((feature) => features.has(feature) && !listed.has(feature))).toEqual([])
})
