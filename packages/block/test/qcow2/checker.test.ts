import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { numbers } from '@retrap/tooling/random'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { checkQcow2, repairQcow2 } from '../../src/index.ts'
import { type CrashOptions, recordRun, replayKills } from '../support/crash.ts'
import { LoggingStorage } from '../support/logging-storage.ts'
import { sampleImage } from '../support/mutated.ts'
import { hasQemuImg, qemuCheck, qemuImg, qemuIo } from '../support/qemu-img.ts'

const test = sliceTests(2)

const folder = temporaryFolder('checker')
const path = join(folder, 'image.qcow2')

/** What both say of an image. */
async function compare(bytes: Uint8Array): Promise<{ readonly ours: string; readonly theirs: string }> {
  writeFileSync(path, bytes)
  const { corruptions, leaks } = await checkQcow2(new LoggingStorage(bytes))
  const theirs = qemuCheck(path)
  const say = (errors: number, leaked: number): string => (errors > 0 ? 'damaged' : leaked > 0 ? 'leaks' : 'whole')
  return { ours: say(corruptions, leaks), theirs: say(theirs.corruptions, theirs.leaks) }
}

describe.runIf(hasQemuImg)(`the checker agrees with qemu-img${skipNote(hasQemuImg, 'there is no qemu-img')}`, () => {
  test('on images whose tables were changed', async () => {
    const below = numbers(7)
    const samples = [await sampleImage(), await sampleImage({ version: 2 }), await sampleImage({ refcountBits: 2 })]
    const said: Record<string, number> = {}
    for (let round = 0; round < 120; round++) {
      // QEMU does not look at counts of clusters behind the end of the file.
      const bytes = new Uint8Array(300 * 4096)
      bytes.set(samples[below(samples.length)]!)
      const view = new DataView(bytes.buffer)
      const block = view.getUint32(view.getUint32(52) + 4)
      const l1 = view.getUint32(44)
      const l2 = view.getUint32(l1 + 4)
      // Counts, entries and their marks.
      const kind = below(5)
      if (kind === 0) bytes[block + below(64)] = below(4)
      else if (kind === 1) bytes[l2 + 8 * below(256)]! ^= 0x80
      else if (kind === 2) view.setUint32(l2 + 8 * below(256) + 4, 4096 * below(bytes.length / 4096))
      else if (kind === 3) bytes[l2 + 8 * below(256) + 7]! |= 2 << below(7)
      else bytes[l1]! ^= 0x80
      const { ours, theirs } = await compare(bytes)
      expect([round, kind, ours]).toEqual([round, kind, theirs])
      said[ours] = (said[ours] ?? 0) + 1
    }
    expect(said['damaged']).toBeGreaterThan(20)
    expect(said['leaks']).toBeGreaterThan(3)
    expect(said['whole']).toBeGreaterThan(10)
  })

  test('on images after kills, of which none is damaged', async () => {
    const below = numbers(11)
    const run = await recordRun({ sectors: 40, steps: 40, hasBacking: false, clusterBytes: 512 }, below)
    let seen = 0
    const wrong = await replayKills(run, below, { exhaustive: 2, samples: 3 }, (content) => {
      if (seen++ % 8 !== 0) return
      writeFileSync(path, content)
      expect(qemuCheck(path).corruptions).toBe(0)
    })
    expect(wrong).toBeNull()
    expect(seen).toBeGreaterThan(100)
  })

  test('repairs what QEMU then finds whole', async () => {
    const below = numbers(13)
    const sample = await sampleImage({ refcountBits: 64 })
    const block = 2 * 4096
    for (let round = 0; round < 10; round++) {
      const storage = new LoggingStorage(sample)
      for (let i = 0; i < 5; i++) storage.apply(block + 8 * below(40) + 7, new Uint8Array([below(3)]))
      expect(await repairQcow2(storage, 'all')).toMatchObject({ corruptions: 0, leaks: 0 })
      writeFileSync(path, storage.content)
      expect(qemuCheck(path)).toEqual({ corruptions: 0, leaks: 0 })
    }
  })

  test('kills while an image of QEMU with a snapshot and compressed clusters is written', async () => {
    const raw = join(folder, 'source.raw')
    const sectors = 64
    writeFileSync(raw, Buffer.alloc(sectors * 512, 5))
    qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', 'cluster_size=1k', raw, path)
    qemuIo(path, 'write -P 6 0 8k')
    qemuImg('snapshot', '-c', 'before', path)
    qemuIo(path, 'write -P 7 4k 2k')
    const start = new Uint8Array(readFileSync(path))
    const options: CrashOptions = { sectors, steps: 20, hasBacking: false, start }
    for (let seed = 1; seed <= 3; seed++) {
      const below = numbers(seed)
      const run = await recordRun(options, below)
      expect([seed, await replayKills(run, below, { exhaustive: 4, samples: 4 })]).toEqual([seed, null])
    }
  })
})
