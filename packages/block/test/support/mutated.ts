import { createQcow2, type Qcow2CreateOptions, Qcow2Image } from '../../src/index.ts'
import { LoggingStorage } from './logging-storage.ts'

/** Size of the disk of a sample. */
export const SAMPLE_BYTES: number = 1 << 20

/** A small image with all kinds of tables and entries. */
export async function sampleImage(options: Partial<Qcow2CreateOptions> = {}): Promise<Uint8Array> {
  const storage = new LoggingStorage()
  await createQcow2(storage, { bytes: SAMPLE_BYTES, clusterBytes: 4096, ...options })
  const image = await Qcow2Image.open(storage)
  for (let i = 0; i < 10; i++) await image.write(i * 90_112, new Uint8Array(8192).fill(i + 1))
  if (options.version !== 2) await image.writeZeroes(500 * 512, 8192)
  await image.close()
  return storage.content
}
