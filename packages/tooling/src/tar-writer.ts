// Writes tar archives as the tests want them, wrong ones too. Source: POSIX.1-2017, pax, "ustar Interchange Format".
import { Buffer } from 'node:buffer'

/** An entry to be written. */
export interface Written {
  readonly name: string
  /** The character of its kind; default a file. */
  readonly kind?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly time?: number
  readonly link?: string
  readonly content?: Uint8Array | string
  readonly device?: readonly [number, number]
  /** Records of a preceding pax header. */
  readonly pax?: Readonly<Record<string, string>>
}

/** The bytes of an archive. */
export function writeTar(entries: readonly Written[], end = 1024): Buffer {
  return Buffer.concat([...entries.flatMap(partsOf), Buffer.alloc(end)])
}

function partsOf(entry: Written): Buffer[] {
  const long = {
    ...(Buffer.byteLength(entry.name) > 100 && { path: entry.name }),
    ...(Buffer.byteLength(entry.link ?? '') > 100 && { linkpath: entry.link ?? '' }),
  }
  const pax = { ...long, ...entry.pax }
  const records = Object.entries(pax).map(([key, value]) => record(key, value))
  const before = records.length === 0 ? [] : plain({ name: 'PaxHeaders/0', kind: 'x', content: records.join('') })
  return [...before, ...plain(entry)]
}

function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + 1
  while (String(length).length + rest !== length) length = String(length).length + rest
  return `${length} ${key}=${value}\n`
}

function plain({
  name,
  kind = '0',
  mode = 0o644,
  uid = 0,
  gid = 0,
  time = 0,
  link = '',
  content = '',
  device,
}: Written): Buffer[] {
  const body = Buffer.from(content)
  const header = Buffer.alloc(512)
  const octal = (value: number, at: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), at)
  }
  Buffer.from(name).copy(header, 0, 0, 100)
  octal(mode, 100, 7)
  octal(uid, 108, 7)
  octal(gid, 116, 7)
  octal(body.length, 124, 11)
  octal(time, 136, 11)
  header.write(kind, 156)
  Buffer.from(link).copy(header, 157, 0, 100)
  header.write('ustar\u000000', 257)
  octal(device?.[0] ?? 0, 329, 7)
  octal(device?.[1] ?? 0, 337, 7)
  header.fill(' ', 148, 156)
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  )
  header[154] = 0
  return [header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]
}
