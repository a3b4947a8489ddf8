import { createReadStream } from 'node:fs'
import { chmod, link, mkdir, open, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { ParsedTarEntry } from 'modern-tar'
import { DebianError } from './errors.ts'

const MAGIC = '!<arch>\n'
/** A header of an archive of `ar`: the name, and the size in decimal digits (deb(5), "FORMAT"). */
const AR_HEADER = 60
const AR_NAME = [0, 16] as const
const AR_SIZE = [48, 58] as const
/** Packages have three members. Others may follow. */
const MOST_MEMBERS = 16

/**
 * Unpacks a Debian package, or some of its files, into a folder. Owners are not kept, and devices are left out.
 *
 * @param members - paths as in the archive (`./boot/vmlinuz-*`), shell patterns allowed, whose `*` stands for `/` too; a folder
 *   stands for all in it. All of the package unless given
 * @throws DebianError `ERR_FETCH` if a member is not in the package or cannot be written
 */
export async function unpackPackage(file: string, folder: string, members: readonly string[] = []): Promise<void> {
  await mkdir(folder, { recursive: true })
  const patterns = members.map((member) => ({ member, pattern: patternOf(member) }))
  const found = new Set<string>()
  const root = await realpath(folder)
  const folders = new Map<string, Promise<string>>([['', Promise.resolve(root)]])
  await readMember(file, 'data.tar', async ({ header, body }) => {
    const path = pathOf(header.name)
    const wanted = patterns.filter(({ pattern }) => pattern.test(path))
    for (const { member } of wanted) found.add(member)
    if (path === '' || (members.length > 0 && wanted.length === 0)) return
    if (header.type === 'directory') {
      // Files of other packages are still to be put into a folder that is only read.
      await chmod(await folderIn(root, folders, path), (header.mode ?? 0o755) | 0o700)
      return
    }
    const target = join(await folderIn(root, folders, parentOf(path)), basename(path))
    await rm(target, { force: true })
    if (header.type === 'symlink') await symlink(header.linkname ?? '', target)
    else if (header.type === 'link') {
      const other = pathOf(header.linkname ?? '')
      await link(join(await folderIn(root, folders, parentOf(other)), basename(other)), target)
    } else if (header.type === 'file') {
      await writeFile(target, body)
      await chmod(target, header.mode ?? 0o644)
    }
  })
  const missing = members.find((member) => !found.has(member))
  if (missing !== undefined) throw damaged(file, `could not be unpacked: it has no ${missing}`)
}

/** Reads the control file of a Debian package. @throws DebianError `ERR_FETCH` if the file is not a package */
export async function readControlText(file: string): Promise<string> {
  let text = ''
  await readMember(file, 'control.tar', async ({ header, body }) => {
    if (pathOf(header.name) !== 'control') return
    const decoder = new TextDecoder()
    for await (const part of body as ReadableStream<Uint8Array>) text += decoder.decode(part, { stream: true })
  })
  if (text === '') throw damaged(file, 'has no control file')
  return text
}

const damaged = (file: string, what: string): DebianError => new DebianError('ERR_FETCH', `${basename(file)} ${what}`)

/** Calls `take` with the entries of an archive in a package, one after another. */
async function readMember(file: string, name: string, take: (entry: ParsedTarEntry) => Promise<void>): Promise<void> {
  try {
    const { createTarDecoder } = await import('modern-tar')
    const member = await findMember(file, name)
    const bytes = createReadStream(file, {
      start: member.offset,
      end: member.offset + member.size - 1,
      highWaterMark: 1 << 18,
    })
    const tar = await decompressed(member.name, bytes)
    for await (const entry of tar.pipeThrough(
      createTarDecoder({ strict: true }) as never,
    ) as ReadableStream<ParsedTarEntry>) {
      await take(entry)
      // Read the rest that `take` has left: modern-tar would otherwise cancel the next entry's content as well.
      if (!entry.body.locked) await entry.body.pipeTo(new WritableStream() as never)
    }
  } catch (error) {
    if (error instanceof DebianError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw damaged(
      file,
      `could not be unpacked: ${reason.startsWith('ENOSPC') ? 'no space is left on the disk' : reason}`,
    )
  }
}

/** Finds a member of the package by its name without the extension of its compression. */
async function findMember(
  file: string,
  name: string,
): Promise<{ readonly name: string; offset: number; size: number }> {
  const handle = await open(file)
  try {
    const text = async (at: number, length: number): Promise<string> => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at)
      return buffer.toString('latin1', 0, bytesRead)
    }
    if ((await text(0, MAGIC.length)) !== MAGIC) throw damaged(file, 'is not a Debian package')
    let at = MAGIC.length
    for (let count = 0; count < MOST_MEMBERS; count++) {
      const header = await text(at, AR_HEADER)
      const member = header.slice(...AR_NAME).replace(/\/? *$/, '')
      const size = Number(header.slice(...AR_SIZE))
      if (header.length < AR_HEADER || !Number.isSafeInteger(size) || size < 0) break
      if (member.startsWith(name)) return { name: member, offset: at + AR_HEADER, size }
      at += AR_HEADER + size + (size % 2)
    }
    throw damaged(file, `is cut short, or damaged: it has no ${name}`)
  } finally {
    await handle.close()
  }
}

/** Returns uncompressed bytes. @param name - its extension selects the decompressor */
export async function decompressed(name: string, bytes: Readable): Promise<ReadableStream<Uint8Array>> {
  const web = (stream: Readable): ReadableStream<Uint8Array> => Readable.toWeb(stream) as ReadableStream<Uint8Array>
  const through = (decoder: NodeJS.ReadWriteStream): ReadableStream<Uint8Array> => {
    bytes.on('error', (error) => (decoder as unknown as Readable).destroy(error))
    return web(bytes.pipe(decoder) as unknown as Readable)
  }
  if (name.endsWith('.xz')) {
    // Loaded on demand: most runs unpack nothing.
    const { default: xz } = await import('xz-decompress')
    return new xz.XzReadableStream(web(bytes) as never) as unknown as ReadableStream<Uint8Array>
  }
  const zlib = await import('node:zlib')
  if (name.endsWith('.gz')) return through(zlib.createGunzip())
  if (name.endsWith('.zst')) return through(zlib.createZstdDecompress())
  return web(bytes)
}

/** A shell pattern of paths. */
function patternOf(member: string): RegExp {
  const text = pathOf(member)
    .replaceAll(/[.+^$()|{}\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${text}(?:/.*)?$`, 's')
}

/** A path without `./` in front and without a `/` at its end. @throws DebianError for one that leads upwards */
function pathOf(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw new DebianError('ERR_FETCH', `a package has a file ${name}, whose path leads upwards`)
  return parts.join('/')
}

const parentOf = (path: string): string => (path.includes('/') ? dirname(path) : '')

/**
 * Makes a folder, and those above it.
 *
 * A package may write through a symbolic link of an earlier one, such as /lib into /usr, but not out of the root.
 */
function folderIn(root: string, folders: Map<string, Promise<string>>, path: string): Promise<string> {
  const make = async (): Promise<string> => {
    const at = join(await folderIn(root, folders, parentOf(path)), basename(path))
    await mkdir(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    const real = await realpath(at)
    if (!real.startsWith(root + sep)) throw new Error(`/${path} leads out of the folder, to ${real}`)
    return real
  }
  let folder = folders.get(path)
  if (folder === undefined) folders.set(path, (folder = make()))
  return folder
}

/** A field of a control file, of a list's record or of a release. A line that begins with a space continues the one above. */
export const fieldOf = (text: string, key: string): string =>
  new RegExp(`^${key}: *(.*(?:\\n .*)*)`, 'm').exec(text)?.[1] ?? ''

/** The names of the packages that one depends on, by its record; of alternatives the first. */
export const dependenciesOf = (text: string): string[] =>
  fieldOf(text, 'Depends')
    .split(',')
    .map((clause) => clause.trim().split(/[ |]/)[0] ?? '')
    .filter((dependency) => dependency !== '')
