// Machines that the user has saved: files of this site's private file system, which other sites do not see.
import type { MachineOptions } from '@retrap/web'
import type { Chosen } from './settings.ts'

/** The description of a saved machine, without its file. */
export interface SavedMachine {
  /** Names its files. */
  readonly id: string
  readonly title: string
  /** Milliseconds since 1970. */
  readonly savedAt: number
  readonly bytes: number
  /** The machine's options; null if they refer to the user's files, which only the original page has. */
  readonly options: MachineOptions | null
  /** The name given by the user. */
  readonly name?: string
  /** Identifier of the saved machine that it continued; null or absent: none. */
  readonly parent?: string | null
  /** A small picture of the machine's screen or terminal, as a data URL. */
  readonly thumbnail?: string
  /** Identifier of the machine, if the page saved it automatically when it was left. */
  readonly kept?: string
}

/** Fragment, in a tab's address, that names the snapshot from which the tab's machine continues. */
export const SAVED_HASH = '#saved='

/** When, for people. */
export const whenOf = ({ savedAt }: SavedMachine): string => localTime(savedAt)

/** A time of the host's, for people. */
export const localTime = (time: number | string): string =>
  new Date(time).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' })

const FOLDER = 'snapshots'
const DATA = '.snapshot'
const ABOUT = '.json'
const KEEPS_NOTHING =
  'This browser keeps nothing for this page: that takes https, or this computer, and no private window.'
const GONE = 'This snapshot is not there any more.'
/** Most machines of left pages that are offered. */
const MOST_LEFT = 3

/** @throws Error where the browser has no private file system */
async function folder(): Promise<FileSystemDirectoryHandle> {
  // Undefined on pages without https, contrary to its type.
  if ((navigator as Partial<Navigator>).storage?.getDirectory === undefined) throw new Error(KEEPS_NOTHING)
  const root = await navigator.storage.getDirectory().catch((cause: unknown) => {
    throw new Error(KEEPS_NOTHING, { cause })
  })
  return root.getDirectoryHandle(FOLDER, { create: true })
}

async function write(name: string, content: Blob | string): Promise<void> {
  const file = await (await folder()).getFileHandle(name, { create: true })
  if ((file as Partial<FileSystemFileHandle>).createWritable === undefined)
    throw new Error('This browser lets no page write files: a newer version may.')
  const stream = await file.createWritable()
  try {
    await stream.write(content)
    await stream.close()
  } catch (error) {
    await stream.abort().catch(() => {})
    throw error
  }
}

/** Returns options that another page can use; null if they refer to the user's files. */
export function lastingOptions({ options }: Chosen): MachineOptions | null {
  const sources = [
    options.kernel,
    options.initrd,
    options.firmware,
    options.vgaBios,
    ...(options.drives ?? []).map(({ source }) => source),
  ]
  const lasts = sources.every((source) => source === undefined || source === null || typeof source === 'string')
  const { snapshot: _from, ...rest } = options
  return lasts ? rest : null
}

/** The facts about a saved machine beside its file. */
export type SavedDetails = Pick<SavedMachine, 'name' | 'parent' | 'thumbnail' | 'kept'>

/** Stores a machine's file. @throws Error with the reason, such as a full disk */
export async function keepMachine(chosen: Chosen, file: Blob, details: SavedDetails = {}): Promise<SavedMachine> {
  await folder()
  // Browsers may evict data unless asked to keep it. Some browsers ask the user first, who may take long.
  navigator.storage.persist().catch(() => false)
  const savedAt = Date.now()
  const about: SavedMachine = {
    id: `${savedAt}-${Math.random().toString(36).slice(2, 8)}`,
    title: chosen.title,
    savedAt,
    bytes: file.size,
    options: lastingOptions(chosen),
    ...details,
  }
  try {
    await write(about.id + DATA, file)
    // The description is written last, so that only complete machines are listed.
    await write(about.id + ABOUT, JSON.stringify(about))
  } catch (error) {
    await dropMachine(about.id)
    if (error instanceof DOMException && error.name === 'QuotaExceededError')
      throw new Error('This browser has no room left for the snapshot: delete others, or export it.', { cause: error })
    throw error
  }
  return about
}

/** Age of a file without description at which it counts as left over by a tab that was closed during a save. */
const ORPHAN_MS = 24 * 3600 * 1000

/** Deletes files of machines that were never saved to the end. */
export async function dropOrphans(): Promise<void> {
  try {
    const place = await folder()
    const names = new Set<string>()
    for await (const name of place.keys()) names.add(name)
    for (const name of names) {
      if (!name.endsWith(DATA) || names.has(name.slice(0, -DATA.length) + ABOUT)) continue
      // The file's name begins with the time of saving.
      if (Date.now() - Number.parseInt(name, 10) > ORPHAN_MS) await place.removeEntry(name).catch(() => {})
    }
    await dropLeft()
  } catch {
    // Without a private file system the list is empty.
  }
}

/** Saved machines, the oldest first. None where the browser has no private file system. */
export async function savedMachines(): Promise<SavedMachine[]> {
  const found: SavedMachine[] = []
  try {
    for await (const handle of (await folder()).values()) {
      if (handle.kind !== 'file' || !handle.name.endsWith(ABOUT)) continue
      const about = await readAbout(handle as FileSystemFileHandle)
      if (about !== null) found.push(about)
    }
  } catch {
    // Without a private file system there is nothing to delete.
  }
  return found.toSorted((a, b) => a.savedAt - b.savedAt)
}

/** @returns null for a damaged file, or one that another tab writes or deletes: the other machines are listed all the same */
async function readAbout(handle: FileSystemFileHandle): Promise<SavedMachine | null> {
  try {
    return JSON.parse(await (await handle.getFile()).text()) as SavedMachine
  } catch {
    return null
  }
}

/** Returns the file of a saved machine. @throws Error if it was deleted */
export async function savedFile(id: string): Promise<File> {
  try {
    return await (await (await folder()).getFileHandle(id + DATA)).getFile()
  } catch (error) {
    throw new Error(GONE, { cause: error })
  }
}

/** Deletes a saved machine. */
export async function dropMachine(id: string): Promise<void> {
  const place = await folder()
  for (const name of [id + ABOUT, id + DATA]) await place.removeEntry(name).catch(() => {})
}

/** Renames a saved machine. @throws Error if it was deleted */
export async function renameMachine(id: string, name: string): Promise<void> {
  const about = (await savedMachines()).find((one) => one.id === id)
  if (about === undefined) throw new Error(GONE)
  await write(id + ABOUT, JSON.stringify({ ...about, name }))
}

/** Name of the lock that a page holds while it runs an automatically saved machine. */
export const keptLock = (kept: string): string => `retrap machine ${kept}`

/** Machines whose pages were left, the newest of each, and of all the newest first. */
export async function leftMachines(): Promise<SavedMachine[]> {
  const all = (await savedMachines()).filter(({ kept, options }) => kept !== undefined && options !== null).toReversed()
  const { held = [] } = (await navigator.locks?.query()) ?? {}
  const taken = new Set(held.map(({ name }) => name))
  return all.filter(({ kept }, i) => !taken.has(keptLock(kept!)) && all.findIndex((one) => one.kept === kept) === i)
}

/** Deletes automatic saves of pages that were left long ago. */
async function dropLeft(): Promise<void> {
  const left = await leftMachines()
  const known = new Set(left.map(({ kept }) => kept))
  const stay = new Set(left.slice(0, MOST_LEFT).map(({ id }) => id))
  for (const { id, kept } of await savedMachines()) if (known.has(kept) && !stay.has(id)) await dropMachine(id)
}

/** Returns a machine that resumes a saved one. @throws Error if it was deleted, or needs the user's files */
export async function goOnFrom(id: string): Promise<Chosen> {
  const about = (await savedMachines()).find((one) => one.id === id)
  if (about === undefined) throw new Error(GONE)
  if (about.options === null) throw new Error('This machine has files of yours, which only its own page has.')
  return {
    title: about.title,
    options: { ...about.options, snapshot: await savedFile(id) },
    from: about.kept === undefined ? id : about.parent,
    kept: about.kept,
  }
}
