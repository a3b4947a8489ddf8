/** Images of more than 4 GiB on a web server: a DVD, and a qcow2 image of 20 GiB whose clusters are far back in its file. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BlobStorage, createQcow2, HttpStorage, isQcow2, MemoryStorage, Qcow2Image, RawImage } from '../src/index.ts'
import { serveSparse, SparseFile } from './support/sparse-file.ts'

const GIB = 2 ** 30
const CLUSTER = 65_536
const DVD = new SparseFile(6 * GIB + 2048)
/** Where the guest's cluster is on the disk, and where it is in the image's file. */
const [DISK_AT, FILE_AT] = [19 * GIB, 17 * GIB + 5 * CLUSTER]

/** A qcow2 image that has one cluster, which is moved to the end of a file of 20 GiB. */
async function largeQcow2(): Promise<SparseFile> {
  const memory = new Uint8Array(64 << 20)
  const storage = new MemoryStorage(memory)
  await createQcow2(storage, { bytes: 20 * GIB, clusterBytes: CLUSTER })
  const image = await Qcow2Image.open(storage)
  await image.write(DISK_AT, new Uint8Array(CLUSTER).fill(0xaa))
  await image.flush()
  const view = new DataView(memory.buffer)
  // Source: QEMU, docs/interop/qcow2.rst, "Header" and "Cluster mapping".
  const l1 = Number(view.getBigUint64(40))
  const covered = (CLUSTER * CLUSTER) / 8
  const l2 = Number(view.getBigUint64(l1 + 8 * Math.floor(DISK_AT / covered)) & 0x00ff_ffff_ffff_fe00n)
  view.setBigUint64(l2 + 8 * ((DISK_AT % covered) / CLUSTER), (1n << 63n) | BigInt(FILE_AT))
  return new SparseFile(20 * GIB, [0, memory])
}

let server: ReturnType<typeof serveSparse>
let origin = ''
beforeAll(async () => {
  const files = [
    ['/dvd.iso', DVD],
    ['/large.qcow2', await largeQcow2()],
  ] as const
  server = serveSparse(new Map(files)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

test.each([4 * GIB - 2048, 4 * GIB - 512, 4 * GIB, 5 * GIB + 262_144 - 512, 6 * GIB])(
  'a DVD is read at %i',
  async (at) => {
    const storage = await HttpStorage.open(`${origin}/dvd.iso`)
    expect(storage.bytes).toBe(DVD.bytes)
    const into = new Uint8Array(2048)
    await new RawImage(storage).read(at, into)
    expect(Buffer.compare(into, DVD.read(at, at + 2048))).toBe(0)
    await storage.close()
  },
)

test('a disk of 20 GiB is read where its clusters are, and is zeroes elsewhere', async () => {
  const storage = await HttpStorage.open(`${origin}/large.qcow2`)
  const head = new Uint8Array(8)
  await storage.read(0, head)
  expect(isQcow2(head)).toBe(true)
  const image = await Qcow2Image.open(storage, { readOnly: true })
  expect(image.properties.bytes).toBe(20 * GIB)
  const into = new Uint8Array(CLUSTER)
  await image.read(DISK_AT, into)
  expect(new DataView(into.buffer).getBigUint64(0, true)).toBe(BigInt(FILE_AT))
  expect(Buffer.compare(into, new SparseFile(20 * GIB).read(FILE_AT, FILE_AT + CLUSTER))).toBe(0)
  await image.read(DISK_AT + CLUSTER, into)
  expect(into.every((byte) => byte === 0)).toBe(true)
  // 20 GiB are not fetched for it.
  expect(storage.fetchedBytes).toBeLessThan(2 << 20)
  await image.close()
})

test("a file of the user's is read behind 4 GiB", async () => {
  const asked: (readonly [number, number])[] = []
  const slice = (start: number, end: number): Blob => {
    asked.push([start, end])
    return new Blob([DVD.read(start, end) as Uint8Array<ArrayBuffer>])
  }
  const storage = new BlobStorage({ size: DVD.bytes, slice } as unknown as Blob)
  const into = new Uint8Array(2048)
  await new RawImage(storage, { readOnly: true }).read(5 * GIB, into)
  expect(Buffer.compare(into, DVD.read(5 * GIB, 5 * GIB + 2048))).toBe(0)
  expect(asked).toEqual([[5 * GIB, 5 * GIB + 2048]])
})
