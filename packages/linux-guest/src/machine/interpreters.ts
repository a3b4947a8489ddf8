/**
 * Interpreters, generated when this program is built: this saves a machine a second of processor time at its start.
 * Each file names the modules that generated it; if the installed modules differ, the machine generates its own
 * interpreter.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { pid } from 'node:process'
import * as zlib from 'node:zlib'
import { digestOfGenerator } from './generator-digest.ts'

/** An architecture with pregenerated interpreters. */
export type KeptArchitecture = 'x86' | 'arm64'

/** The kept file, beside the bundle, and the package that generates it. */
interface Kept {
  readonly file: URL
  readonly cpu: string
  readonly load: () => Promise<{
    readonly packInterpreters: () => Uint8Array
    readonly useInterpreters: (packed: Uint8Array) => void
  }>
}

const KEPT: Readonly<Record<KeptArchitecture, Kept>> = {
  x86: {
    file: new URL('interpreters-x86.br', import.meta.url),
    cpu: '@retrap/x86-cpu',
    load: () => import('@retrap/x86-cpu/interpreters'),
  },
  arm64: {
    file: new URL('interpreters-arm64.br', import.meta.url),
    cpu: '@retrap/arm-cpu',
    load: () => import('@retrap/arm-cpu/interpreters'),
  },
}

/** All architectures with pregenerated interpreters. */
export const KEPT_ARCHITECTURES: readonly KeptArchitecture[] = ['x86', 'arm64']

/** Whether this process uses pregenerated interpreters, by architecture. */
const loaded = new Map<KeptArchitecture, Promise<boolean>>()

/** Generates the interpreters of an architecture into their file, unless the file is current. */
export async function keepInterpreters(architecture: KeptArchitecture): Promise<void> {
  if (readKept(architecture) !== undefined) return
  const { file, cpu, load } = KEPT[architecture]
  const { packInterpreters } = await load()
  // A machine that starts meanwhile finds a whole file: the old one, or the new one.
  const scratch = new URL(`${file.href}.${pid}`)
  writeFileSync(scratch, keptInterpreters(packInterpreters(), digestOfGenerator(cpu)))
  renameSync(scratch, file)
}

const digestOf = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const DIGEST_BYTES = 32

/** Returns the content of a file: the digest of the generator, that of the rest, and the interpreters. */
export function keptInterpreters(packed: Uint8Array, generator: Uint8Array): Uint8Array {
  // The quality above takes 20 times as long for a file that is a sixth smaller.
  const compressed = zlib.brotliCompressSync(packed, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 9 } })
  return Buffer.concat([generator, digestOf(compressed), compressed])
}

/** The interpreters of a file; undefined where the file is damaged, or another version of the generator has made it. */
export function packedInterpreters(kept: Uint8Array, generator: Uint8Array): Uint8Array | undefined {
  const from = generator.length + DIGEST_BYTES
  const compressed = kept.subarray(from)
  const isOurs = Buffer.concat([generator, digestOf(compressed)]).equals(kept.subarray(0, from))
  return isOurs ? zlib.brotliDecompressSync(compressed) : undefined
}

/**
 * Has this process use the interpreters that are kept.
 *
 * @returns whether the file exists and matches the installed modules
 */
export function loadInterpreters(architecture: KeptArchitecture): Promise<boolean> {
  let found = loaded.get(architecture)
  if (found === undefined) loaded.set(architecture, (found = readInterpreters(architecture)))
  return found
}

/** Reads the pregenerated interpreters of an architecture; undefined if none match the installed modules. */
function readKept(architecture: KeptArchitecture): Uint8Array | undefined {
  const { file, cpu } = KEPT[architecture]
  // Only a built program has the file.
  return existsSync(file) ? packedInterpreters(readFileSync(file), digestOfGenerator(cpu)) : undefined
}

async function readInterpreters(architecture: KeptArchitecture): Promise<boolean> {
  const packed = readKept(architecture)
  if (packed === undefined) return false
  const { useInterpreters } = await KEPT[architecture].load()
  useInterpreters(packed)
  return true
}
