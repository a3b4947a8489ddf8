// @programs: qemu-img qemu-io
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockError } from '@retrap/device'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { checkQcow2, ImageError, Qcow2Image } from '../../src/index.ts'
import { recordRun, replayKills } from '../support/crash.ts'
import { LoggingStorage } from '../support/logging-storage.ts'
import { SAMPLE_BYTES, sampleImage } from '../support/mutated.ts'
import { hasQemuImg, qemuCheck } from '../support/qemu-img.ts'

let folder = ''
let samples: Uint8Array[] = []
let kills = 0
let compared = 0
let mutated = 0

/** Kills at random moments of random runs, and images with random damage. */
export const soak: Soak = {
  name: 'block',
  count: 300,
  async setup() {
    folder = mkdtempSync(join(tmpdir(), 'retrap-block-soak-'))
    // The name that images over a backing file have for it.
    writeFileSync(join(folder, 'base'), Buffer.alloc(208 * 512, 0xb5))
    samples = await Promise.all([
      sampleImage(),
      sampleImage({ version: 2 }),
      sampleImage({ refcountBits: 1, clusterBytes: 512 }),
      sampleImage({ refcountBits: 64, clusterBytes: 1024 }),
    ])
  },
  step: (rng, index) => (index % 3 === 0 ? killSomewhere(rng) : damageSomewhere(rng)),
  teardown() {
    if (existsSync(folder)) rmSync(folder, { recursive: true })
  },
  summary: () => `${kills} images after kills, ${compared} of them seen by qemu-img; ${mutated} damaged images`,
}

async function killSomewhere(rng: Rng): Promise<string | void> {
  const version = rng.chance(1, 4) ? 2 : 3
  const options = {
    sectors: 8 + rng.below(200),
    steps: 5 + rng.below(30),
    hasBacking: rng.chance(),
    clusterBytes: rng.pick([512, 1024, 4096]),
    version,
    refcountBits: version === 2 ? 16 : rng.pick([16, 1, 2, 8, 64]),
  } as const
  rng.note('image', JSON.stringify(options))
  const below = (bound: number): number => rng.below(bound)
  const run = await recordRun(options, below)
  const shown = rng.below(60)
  let seen = 0
  let damage: string | undefined
  const wrong = await replayKills(run, below, { exhaustive: 5, samples: 5 }, (content) => {
    kills++
    if (seen++ !== shown || !hasQemuImg) return
    const path = join(folder, 'image.qcow2')
    writeFileSync(path, content)
    compared++
    if (qemuCheck(path).corruptions > 0) damage = 'qemu-img finds errors'
  })
  return wrong ?? damage
}

async function damageSomewhere(rng: Rng): Promise<string | void> {
  const bytes = rng.pick(samples).slice()
  for (let i = 1 + rng.below(6); i > 0; i--) {
    const at = rng.below(rng.chance() ? 120 : bytes.length)
    const value = rng.pick([0, 1, 2, 7, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, rng.below(256)])
    rng.note('change', `${at}: ${value}`)
    bytes.fill(value, at, at + 1 + rng.below(8))
  }
  mutated++
  const known = (error: unknown): void => {
    if (!(error instanceof ImageError) && !(error instanceof BlockError)) throw error
  }
  const began = performance.now()
  await checkQcow2(new LoggingStorage(bytes)).catch(known)
  const image = await Qcow2Image.open(new LoggingStorage(bytes), {
    openBacking: () => Promise.reject(new ImageError('ERR_BACKING', 'there is none')),
  }).catch(known)
  if (image !== undefined) {
    const size = Math.min(SAMPLE_BYTES, image.properties.bytes)
    for (let i = 0; i < 10; i++) {
      const at = rng.below(Math.max(1, size / 512)) * 512
      const length = Math.max(0, Math.min(size - at, 512 * (1 + rng.below(100))))
      const what = rng.below(5)
      if (what === 0) await image.read(at, new Uint8Array(length)).catch(known)
      else if (what === 1) await image.write(at, new Uint8Array(length)).catch(known)
      else if (what === 2) await image.writeZeroes(at, length).catch(known)
      else if (what === 3) await image.discard(0, image.properties.bytes).catch(known)
      else await image.flush().catch(known)
    }
    await image.close().catch(known)
  }
  if (performance.now() - began > 20_000) return 'it takes more than 20 seconds'
}
