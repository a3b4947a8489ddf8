/**
 * Writes cpio archives in the "newc" form, the one Linux unpacks as an initramfs.
 *
 * Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst ("initramfs buffer format").
 */

/** One member of an archive. Paths are relative to the root, without a leading slash. */
export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode?: number; readonly data: Uint8Array }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device'
      readonly path: string
      readonly mode?: number
      readonly major: number
      readonly minor: number
    }

// File types as in the st_mode field of stat(2).
const S_IFCHR = 0o020000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000

const HEADER_BYTES = 110
const TRAILER = 'TRAILER!!!'
const encoder = new TextEncoder()

/** A member as its header fields and body. */
interface Record {
  readonly name: Uint8Array
  readonly mode: number
  readonly links: number
  readonly body: Uint8Array
  readonly major: number
  readonly minor: number
}

/**
 * The bytes of a newc archive that holds `entries` in their order.
 * Times, owners and inode numbers depend on nothing outside, so that equal entries give equal bytes.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const records = entries.map(toRecord)
  records.push({ name: encoder.encode(TRAILER), mode: 0, links: 1, body: new Uint8Array(), major: 0, minor: 0 })

  let total = 0
  for (const { name, body } of records) total += align4(HEADER_BYTES + name.length + 1) + align4(body.length)
  const archive = new Uint8Array(total)

  let at = 0
  records.forEach((record, index) => {
    archive.set(encoder.encode(header(record, index + 1)), at)
    archive.set(record.name, at + HEADER_BYTES)
    at += align4(HEADER_BYTES + record.name.length + 1)
    archive.set(record.body, at)
    at += align4(record.body.length)
  })
  return archive
}

function toRecord(entry: CpioEntry): Record {
  const common = { name: encoder.encode(entry.path), links: 1, body: new Uint8Array(), major: 0, minor: 0 }
  switch (entry.kind) {
    case 'directory':
      return { ...common, mode: S_IFDIR | (entry.mode ?? 0o755), links: 2 }
    case 'file':
      return { ...common, mode: S_IFREG | (entry.mode ?? 0o644), body: entry.data }
    case 'symlink':
      return { ...common, mode: S_IFLNK | 0o777, body: encoder.encode(entry.target) }
    case 'character-device':
      return { ...common, mode: S_IFCHR | (entry.mode ?? 0o600), major: entry.major, minor: entry.minor }
  }
}

function header(record: Record, inode: number): string {
  const fields = [
    inode,
    record.mode,
    0, // uid
    0, // gid
    record.links,
    0, // mtime
    record.body.length,
    0, // major number of the device that holds the file
    0, // and the device's minor number
    record.major,
    record.minor,
    record.name.length + 1, // with the terminating zero
    0, // checksum: unused in this format
  ]
  return '070701' + fields.map((field) => field.toString(16).padStart(8, '0')).join('')
}

function align4(bytes: number): number {
  return (bytes + 3) & ~3
}
