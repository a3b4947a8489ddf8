/** A small archive as Debian's: packages, lists that are signed, and a server that a test may have misbehave. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib'
import { packTar, type TarEntry } from 'modern-tar'
import type { ArchiveKey } from '../../src/keys.ts'

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

/** An entry of a made package: the content of a file, or a header of another kind. */
export type MadeEntry = string | Partial<TarEntry['header']>

/** An xz file whose LZMA2 chunks are stored (xz-file-format 1.2.1; "LZMA2": a control byte 1 or 2 and the size minus 1). */
export function storedXz(bytes: Uint8Array): Buffer {
  const u32 = (value: number): Buffer => Buffer.from(new Uint32Array([value]).buffer)
  const number = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...number(value >>> 7)])
  const padded = (part: Buffer): Buffer => Buffer.concat([part, Buffer.alloc((4 - (part.length % 4)) % 4)])
  const withSum = (part: Buffer): Buffer => Buffer.concat([part, u32(crc32(part))])
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 0x10000) {
    const chunk = bytes.subarray(at, at + 0x10000)
    chunks.push(Buffer.from([at === 0 ? 1 : 2, (chunk.length - 1) >> 8, (chunk.length - 1) & 255]), Buffer.from(chunk))
  }
  const flags = Buffer.from([0, 1])
  const header = withSum(Buffer.from([2, 0, 0x21, 1, 0x16, 0, 0, 0]))
  const data = Buffer.concat([...chunks, Buffer.from([0])])
  const size = header.length + data.length + 4
  const index = withSum(padded(Buffer.from([0, 1, ...number(size), ...number(bytes.length)])))
  const end = Buffer.concat([u32(index.length / 4 - 1), flags])
  return Buffer.concat([
    ...[Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), flags, u32(crc32(flags))],
    ...[header, padded(data), u32(crc32(bytes)), index, u32(crc32(end)), end, Buffer.from('YZ')],
  ])
}

const COMPRESSIONS = {
  '': (bytes: Uint8Array) => Buffer.from(bytes),
  '.gz': gzipSync,
  '.xz': storedXz,
  '.zst': zstdCompressSync,
} as const
export type Compression = keyof typeof COMPRESSIONS

/** Makes a package. */
export async function makeDeb(
  control: string,
  files: Readonly<Record<string, MadeEntry>>,
  compression: Compression = '.xz',
): Promise<Buffer> {
  const tar = (entries: Readonly<Record<string, MadeEntry>>): Promise<Uint8Array> =>
    packTar(
      Object.entries(entries).map(([name, entry]) =>
        typeof entry === 'string'
          ? { header: { name: `./${name}`, size: Buffer.byteLength(entry), mode: 0o644 }, body: entry }
          : { header: { name: `./${name}`, size: 0, ...entry } },
      ),
    )
  const compress = COMPRESSIONS[compression] as (bytes: Uint8Array) => Buffer
  const members = {
    'debian-binary': Buffer.from('2.0\n'),
    [`control.tar${compression}`]: compress(await tar({ control })),
    [`data.tar${compression}`]: compress(await tar(files)),
  }
  const parts = Object.entries(members).flatMap(([name, bytes]) => [
    Buffer.from(`${name.padEnd(16)}${'0'.padEnd(32)}${String(bytes.length).padEnd(10)}\`\n`),
    bytes,
    Buffer.alloc(bytes.length % 2, '\n'),
  ])
  return Buffer.concat([Buffer.from('!<arch>\n'), ...parts])
}

export const writeDeb = async (path: string, ...made: Parameters<typeof makeDeb>): Promise<void> =>
  writeFile(path, await makeDeb(...made))

/** A key of the test's. */
export function makeKey(): { readonly key: ArchiveKey; sign: (this: void, text: string) => string } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const id = '0123456789ABCDEF'
  const clearSign = (text: string): string => {
    const hashed = Buffer.from([5, 2, ...Buffer.from(new Uint32Array([Date.now() / 1000]).buffer).reverse()])
    const covered = Buffer.concat([Buffer.from([4, 1, 22, 8, 0, hashed.length]), hashed])
    const digest = createHash('sha256')
      .update(text.replaceAll('\n', '\r\n'))
      .update(covered)
      .update(Buffer.from([4, 0xff, 0, 0, 0, covered.length]))
      .digest()
    const numbers = sign(null, digest, privateKey)
    const issuer = Buffer.concat([Buffer.from([9, 16]), Buffer.from(id, 'hex')])
    const number = (at: number): Buffer => Buffer.concat([Buffer.from([1, 0]), numbers.subarray(at, at + 32)])
    const body = Buffer.concat([
      covered,
      Buffer.from([0, issuer.length]),
      issuer,
      Buffer.alloc(2),
      number(0),
      number(32),
    ])
    const packet = Buffer.concat([Buffer.from([0xc2, body.length]), body])
    return `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${text}\n-----BEGIN PGP SIGNATURE-----\n\n${packet.toString('base64')}\n-----END PGP SIGNATURE-----\n`
  }
  return { key: { id, expires: new Date('2100-01-01'), key: publicKey.export({ format: 'jwk' }) }, sign: clearSign }
}

/** A package of a made archive, and the record that its list has of it. */
export interface MadePackage {
  readonly path: string
  readonly bytes: Buffer
  readonly record: string
}

export async function makePackage(name: string, version: string, depends = ''): Promise<MadePackage> {
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\n${depends && `Depends: ${depends}\n`}`
  const bytes = await makeDeb(control, { 'usr/bin/tool': `${name} ${version}` })
  const path = `pool/main/${name}_${version}_amd64.deb`
  return { path, bytes, record: `${control}Filename: ${path}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n` }
}

/** The files of a mirror: packages, and the signed lists of a suite that has them. */
export function mirrorFiles(
  packages: readonly MadePackage[],
  signText: (text: string) => string,
  fields = '',
): Map<string, Buffer> {
  const list = storedXz(Buffer.from(packages.map(({ record }) => record).join('\n')))
  const path = 'main/binary-amd64/Packages.xz'
  const empty = storedXz(Buffer.from(' '))
  const files = new Map(packages.map((one) => [one.path, one.bytes]))
  for (const [suite, bytes] of [
    ['bookworm', list],
    ['bookworm-updates', empty],
  ] as const) {
    files.set(`dists/${suite}/${path}`, bytes)
    const release = `Suite: ${suite}\n${fields}SHA256:\n ${sha256(bytes)} ${bytes.length} ${path}`
    files.set(`dists/${suite}/InRelease`, Buffer.from(signText(release)))
  }
  return files
}

/** A server of files below its address. */
export interface FileServer {
  readonly url: string
  readonly asked: string[]
  close(): void
}

/** @param answer - may answer in another way, and returns whether it has */
export async function serveFiles(
  files: ReadonlyMap<string, Buffer>,
  answer: (path: string, response: ServerResponse) => boolean = () => false,
): Promise<FileServer> {
  const asked: string[] = []
  const server: Server = createServer((request, response) => {
    // A proxy is asked for whole addresses.
    const path = request.url!.replace(/^http:\/\/[^/]+/, '')
    asked.push(request.url!)
    if (answer(path, response)) return
    const found = [...files].find(([name]) => path.endsWith(`/${name}`))
    response.writeHead(found === undefined ? 404 : 200).end(found?.[1])
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, asked, close: () => server.close().closeAllConnections() }
}
