/** What the test of browsers runs in a page and in a Web Worker. */
import * as block from '../../src/index.ts'

const sum = (bytes: Uint8Array): number => bytes.reduce((before, byte) => (Math.imul(before, 31) + byte) >>> 0, 0)

/** Reads an image from the page's server, over which something is written. */
export async function readByHttp(url: string): Promise<{ bytes: number; sum: number; fetched: number }> {
  const storage = await block.HttpStorage.open(url, { chunkBytes: 4096 })
  const image = new block.Overlay(new block.RawImage(storage))
  await image.write(0, new Uint8Array(512).fill(1))
  const into = new Uint8Array(8192)
  await image.read(0, into)
  return { bytes: storage.bytes, sum: sum(into), fetched: storage.fetchedBytes }
}

/** Reads a qcow2 image with compressed clusters that the user has chosen. */
export async function readBlob(blob: Blob): Promise<number> {
  const image = await block.Qcow2Image.open(new block.BlobStorage(blob))
  const into = new Uint8Array(image.properties.bytes)
  await image.read(0, into)
  return sum(into)
}

/** Where a page keeps files of its own, as far as it matters here. */
interface Directory {
  getFileHandle(
    name: string,
    options: { create: boolean },
  ): Promise<{ createSyncAccessHandle(): Promise<block.SyncAccessHandle> }>
}

/** Makes a qcow2 image in the origin private file system, writes it, and reads it after it was closed. In a Worker only. */
export async function keepInOpfs(): Promise<{ first: number; second: number; corruptions: number; isLocked: boolean }> {
  const storage = (navigator as unknown as { storage: { getDirectory(): Promise<Directory> } }).storage
  const file = await (await storage.getDirectory()).getFileHandle('disk.qcow2', { create: true })
  const open = async (): Promise<block.OpfsStorage> => new block.OpfsStorage(await file.createSyncAccessHandle())
  const made = await open()
  await block.createQcow2(made, { bytes: 16 << 20 })
  const image = await block.Qcow2Image.open(made)
  await image.write(1 << 20, new Uint8Array(4096).fill(5))
  await image.write(9 << 20, new Uint8Array(512).fill(6))
  const isLocked = await file.createSyncAccessHandle().then(
    () => false,
    () => true,
  )
  await image.close()
  const kept = await open()
  const { corruptions } = await block.checkQcow2(kept)
  const again = await block.Qcow2Image.open(kept)
  const sector = new Uint8Array(512)
  await again.read(1 << 20, sector)
  const first = sector[511]!
  await again.read(9 << 20, sector)
  await again.close()
  return { first, second: sector[511]!, corruptions, isLocked }
}
