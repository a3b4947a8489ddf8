/** Disks of a snapshot, as the Worker puts them back: all of them, or none. */
import { MemoryStorage, Overlay, RawImage } from '@retrap/block'
import { writeSnapshot } from '@retrap/snapshot'
import { describe, expect, test } from 'vitest'
import { DiskRequests } from '../src/worker/disk-requests.ts'
import { openFrom } from '../src/worker/snapshots.ts'

const BYTES = 1 << 20
const listener = { progress() {}, warning() {}, requests: new DiskRequests(), keepsFetched: false }
const disk = (bytes = BYTES): Overlay => new Overlay(new RawImage(new MemoryStorage(new Uint8Array(bytes))))

async function written(bytes: number, value: number): Promise<Overlay> {
  const overlay = disk(bytes)
  await overlay.write(0, new Uint8Array(512).fill(value))
  return overlay
}

const firstByte = async (overlay: Overlay): Promise<number> => {
  const sector = new Uint8Array(512)
  await overlay.read(0, sector)
  return sector[0]!
}

/** A snapshot's file with writes to these disks. */
async function fileOf(disks: Readonly<Record<string, Overlay>>): Promise<Uint8Array<ArrayBuffer>> {
  const writes = Object.fromEntries(Object.entries(disks).map(([id, overlay]) => [id, overlay.save()]))
  const state = { machine: { memoryBytes: 1 << 20, cpus: 1, machine: 'pc' }, writes }
  const parts: Uint8Array[] = []
  const pages = { gfns: new Uint32Array(), bytes: new Uint8Array() }
  await writeSnapshot({ description: { version: 1 }, state, pages }, (bytes) => parts.push(bytes.slice()))
  return new Uint8Array(Buffer.concat(parts))
}

describe('the disks of a snapshot', () => {
  test('are put back; those that it has no writes of are as their images', async () => {
    const bytes = await fileOf({ one: await written(BYTES, 1) })
    const [one, two] = [await written(BYTES, 5), await written(BYTES, 6)]
    const snapshot = await openFrom({ drives: null }, { bytes }, listener)
    snapshot.checkDisks([
      ['one', one],
      ['two', two],
    ])()
    expect([await firstByte(one), await firstByte(two)]).toEqual([1, 0])
  })

  test('stay as they are, all of them, where one does not fit', async () => {
    const bytes = await fileOf({ one: await written(BYTES, 1), two: await written(2 * BYTES, 2) })
    const [one, two] = [await written(BYTES, 5), await written(BYTES, 6)]
    const snapshot = await openFrom({ drives: null }, { bytes }, listener)
    const check = (): unknown =>
      snapshot.checkDisks([
        ['one', one],
        ['two', two],
      ])
    expect(check).toThrow(`snapshot: two: writes to a disk of ${2 * BYTES} bytes: expected ${BYTES}`)
    expect([await firstByte(one), await firstByte(two)]).toEqual([5, 6])
  })

  test('that are kept do not go back', async () => {
    const bytes = await fileOf({})
    const drives = [{ id: 'root', keep: 'mine', source: { bytes: new Uint8Array(512) } }]
    await expect(openFrom({ drives }, { bytes }, listener)).rejects.toThrow(/^root is kept, and a machine/)
  })
})
