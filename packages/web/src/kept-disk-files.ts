// Where kept disks lie in the origin private file system: for a page and its Workers.

/** The image that a kept disk lies over. */
export interface KeptSource {
  /** Address, or a file's name. */
  readonly name: string
  readonly bytes: number
  /** The tag that identifies the image's version; null: none. */
  readonly tag: string | null
}

/** A source without the query of its address. */
export const placeOf = (name: string): string => (isAddress(name) ? name.replace(/[?#].*$/, '') : name)
/** A file's name has no slashes. */
const isAddress = (name: string): boolean => /^[a-z][a-z\d+.-]*:\/\//i.test(name)

/**
 * Whether two sources have the same content, as far as their servers, or their files, say. Different addresses are never
 * equal: another server could send the same tag, and its guest would read this disk's data.
 */
export function isSameSource(a: KeptSource, b: KeptSource): boolean {
  if (a.bytes !== b.bytes) return false
  if ((isAddress(a.name) || isAddress(b.name)) && placeOf(a.name) !== placeOf(b.name)) return false
  return a.tag === null || b.tag === null ? a.name === b.name : a.tag === b.tag
}

/** The facts about a kept disk beside its image. */
export interface AboutKept {
  readonly version: 1
  /** The image under the disk; null: the disk was imported, and fits any image of its size. */
  readonly source: KeptSource | null
}

const FOLDER = 'retrap-disks'
const IMAGE = '.qcow2'
const ABOUT = '.json'

/** File systems have names of 255 bytes. */
const MOST_NAME_BYTES = 200
/** Returns whether a name may be a kept disk's, with letters of any script: it becomes a file's name. */
export const isKeptName = (name: string): boolean =>
  /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_.-]{0,99}$/u.test(name) && new TextEncoder().encode(name).length <= MOST_NAME_BYTES
/** The expected form of a name, for messages. */
export const KEPT_NAME: string =
  'expected 1 to 100 letters, digits, points, hyphens and underscores, a letter or digit first, of no more than ' +
  `${MOST_NAME_BYTES} bytes`

/** The folder of kept disks. @throws Error where the browser has no private file system */
export const keptFolder = (): Promise<FileSystemDirectoryHandle> => privateFolder(FOLDER)

/** A folder of the origin private file system. @throws Error where the browser has none */
export async function privateFolder(name: string): Promise<FileSystemDirectoryHandle> {
  // Undefined on pages without https, contrary to its type.
  if ((navigator as Partial<Navigator>).storage?.getDirectory === undefined) throw new Error(KEEPS_NOTHING)
  const root = await navigator.storage.getDirectory().catch((cause: unknown) => {
    throw new Error(KEEPS_NOTHING, { cause })
  })
  return root.getDirectoryHandle(name, { create: true })
}

const KEEPS_NOTHING =
  'this browser keeps nothing for this page: that takes an address with https, or this computer, and no private window'

/** The file of a kept disk's image. */
export const imageFile = (
  folder: FileSystemDirectoryHandle,
  name: string,
  options?: FileSystemGetFileOptions,
): Promise<FileSystemFileHandle> => folder.getFileHandle(name + IMAGE, options)

/** Names of the kept disks. */
export async function keptNames(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = []
  for await (const name of folder.keys()) if (name.endsWith(IMAGE)) names.push(name.slice(0, -IMAGE.length))
  return names.toSorted()
}

/** Reads the description of a kept disk. @returns null if it is missing or damaged */
export async function readAbout(folder: FileSystemDirectoryHandle, name: string): Promise<AboutKept | null> {
  try {
    const file = await (await folder.getFileHandle(name + ABOUT)).getFile()
    const about = JSON.parse(await file.text()) as AboutKept
    return about.version === 1 ? about : null
  } catch {
    return null
  }
}

/** Writes the description of a kept disk. */
export async function writeAbout(folder: FileSystemDirectoryHandle, name: string, about: AboutKept): Promise<void> {
  await writeFile(await folder.getFileHandle(name + ABOUT, { create: true }), JSON.stringify(about))
}

/**
 * Replaces a file's content atomically: after an error the file is unchanged.
 *
 * @throws Error where the browser lets no page write, as Safari before version 26
 */
export async function writeFile(handle: FileSystemFileHandle, content: Blob | string): Promise<void> {
  if ((handle as Partial<FileSystemFileHandle>).createWritable === undefined)
    throw new Error('this browser lets no page write files: a newer version may')
  const stream = await handle.createWritable()
  try {
    await stream.write(content)
    await stream.close()
  } catch (error) {
    await stream.abort().catch(() => {})
    throw error
  }
}

/** Deletes the files of a kept disk. The image goes first, because another machine may hold it. */
export async function removeKept(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  await folder.removeEntry(name + IMAGE)
  await folder.removeEntry(name + ABOUT).catch(() => {})
}

/** The error that the browser gives for a file that another machine has. */
export const isTaken = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'NoModificationAllowedError'
