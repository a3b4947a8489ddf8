import { type BlockImage, createQcow2, isQcow2, OpfsStorage, Qcow2Image, type SyncAccessHandle } from '@retrap/block'
import { holderOf } from '../disk-holders.ts'
import {
  imageFile,
  isSameSource,
  isTaken,
  keptFolder,
  type KeptSource,
  placeOf,
  readAbout,
  removeKept,
  writeAbout,
} from '../kept-disk-files.ts'
import { reasonOf } from './sources.ts'

/** Writes are made durable after this long, even where the guest asks for nothing: a tab may close at any time. */
const FLUSH_MS = 250
/** Magic number and version of a qcow2 image. */
const HEAD_BYTES = 8
/** Source: QEMU, docs/interop/qcow2.txt, "Header", `backing_file_size`. */
const MOST_BACKING_BYTES = 1023

/**
 * A disk whose writes are kept in the origin private file system.
 *
 * @param failed - called for writes that have failed, which the guest sees as an I/O error
 */
function keptImage(image: Qcow2Image, failed: (error: unknown) => void): BlockImage {
  let timer: ReturnType<typeof setTimeout> | null = null
  const watch = async (done: Promise<void>): Promise<void> => {
    try {
      await done
    } catch (error) {
      failed(error)
      throw error
    }
  }
  const flush = (): Promise<void> => watch(image.flush())
  const change = (done: Promise<void>): Promise<void> => {
    timer ??= setTimeout(() => {
      timer = null
      flush().catch(() => {})
    }, FLUSH_MS)
    return watch(done)
  }
  return {
    properties: image.properties,
    read: (...given) => image.read(...given),
    write: (...given) => change(image.write(...given)),
    discard: (...given) => change(image.discard(...given)),
    writeZeroes: (...given) => change(image.writeZeroes(...given)),
    flush,
    onChange: () => image.onChange(),
    idle: () => image.idle(),
    async close() {
      if (timer !== null) clearTimeout(timer)
      await image.close()
    },
  }
}

const describe = ({ name, bytes, tag }: KeptSource): string =>
  `${name} (${bytes} bytes${tag === null ? '' : `, ${tag}`})`

/** The name that the qcow2 image has for the image below: no query, which may be a signature, and no more than has room. */
const backingName = ({ name }: KeptSource): string => {
  const place = placeOf(name)
  return new TextEncoder().encode(place).length <= MOST_BACKING_BYTES && place !== '' ? place : 'image'
}

/**
 * Opens a kept disk over its image, and creates it on first use.
 *
 * @param base - the disk's image, which is closed with the kept disk
 * @throws Error with the reason; ImageError; BlockError
 */
export async function openKeptDisk(
  name: string,
  base: BlockImage,
  source: KeptSource,
  failed: (error: unknown) => void,
): Promise<BlockImage> {
  const folder = await keptFolder()
  const storage = await openStorage(await imageFile(folder, name, { create: true }), name)
  let isUnmade = false
  try {
    const head = new Uint8Array(Math.min(HEAD_BYTES, storage.bytes))
    await storage.read(0, head)
    if (!isQcow2(head)) {
      isUnmade = true
      // Write the description first, so that an image never lacks its source.
      await writeAbout(folder, name, { version: 1, source })
      const { bytes } = base.properties
      await createQcow2(storage, { bytes, backing: { name: backingName(source), format: 'raw' } })
      isUnmade = false
    }
    const over = (await readAbout(folder, name))?.source ?? null
    if (over !== null && !isSameSource(over, source))
      throw new Error(
        `the kept disk '${name}' has what was written to ${describe(over)}, and not to ${describe(source)}: ` +
          'keep this one by another name, or delete that one',
      )
    const image = await Qcow2Image.open(storage, { openBacking: async () => base })
    if (image.properties.bytes === base.properties.bytes) return keptImage(image, failed)
    throw new Error(
      `the kept disk '${name}' has ${image.properties.bytes} bytes: expected ${base.properties.bytes}, as its image has`,
    )
  } catch (error) {
    await storage.close()
    // Nothing is kept by this name.
    if (isUnmade) await removeKept(folder, name).catch(() => {})
    throw error
  }
}

async function openStorage(file: FileSystemFileHandle, name: string): Promise<OpfsStorage> {
  // Workers have this method. The DOM's types describe pages, which lack it.
  const { createSyncAccessHandle } = file as { createSyncAccessHandle?: () => Promise<SyncAccessHandle> }
  if (createSyncAccessHandle === undefined) throw new Error('this browser cannot write kept disks')
  try {
    return new OpfsStorage(await createSyncAccessHandle.call(file))
  } catch (error) {
    if (!isTaken(error)) throw new Error(`the kept disk '${name}': ${reasonOf(error)}`, { cause: error })
    const holder = await holderOf(name)
    const who =
      holder === null || holder.title === ''
        ? 'another machine, of this or another tab, has it: close that machine'
        : `the machine of the tab '${holder.title}' has it, since ${new Date(holder.since).toLocaleTimeString()}: close it`
    throw new Error(`the kept disk '${name}': ${who}, or do not keep this one`, { cause: error })
  }
}
