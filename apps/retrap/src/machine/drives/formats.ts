import { KIB } from '@retrap/basics'
import type { Qcow2CreateOptions } from '@retrap/block'
import { type ImageFormat, type OpenImageOptions, probeFormat, shownName } from '@retrap/block/node'
import { BlockError } from '@retrap/device'
import { CliError } from '@retrap/linux-guest/errors'
import { isNamedQcow2 } from './image-file.ts'
import { didYouMean, splitPairs, usage } from '../../options/values.ts'

/** Prints a text. @returns a promise where the output is behind, to be waited for by commands that print much */
export type Print = (text: string | Uint8Array) => Promise<void> | undefined

/** Called as a copy goes on, with a fraction from 0 to 1. */
export type OnProgress = (fraction: number) => void

export const FORMATS = 'raw or qcow2'

/** Reads the name of a format. @throws CliError `ERR_USAGE` */
export function parseFormat(text: string): ImageFormat {
  if (text === 'raw' || text === 'qcow2') return text
  throw usage(`there is no format '${text}'; there are raw and qcow2`)
}

/**
 * How to open a file that the user named. Without a format its content decides, and then only the name of the file vouches for
 * a backing file: a guest could have written the content to a raw disk.
 *
 * @throws CliError `ERR_INPUT` for a format that cannot be used
 */
export async function sourceOptions(
  path: string,
  format: ImageFormat | undefined,
): Promise<Pick<OpenImageOptions, 'backing'> & { readonly format: ImageFormat }> {
  if (format !== undefined) return { format }
  const found = await probeFormat(path)
  if (found === 'raw') return { format: found }
  if (found === 'qcow2') return { format: found, backing: isNamedQcow2(path) ? 'open' : 'refuse' }
  throw new CliError(
    'ERR_INPUT',
    `${shownName(path)}: ${found} images cannot be used; convert with: qemu-img convert -O qcow2`,
  )
}

const UNITS = 'bkmgtpe'

/** Reads a size in bytes: `20G`, `1.5M`, `512`. @throws CliError `ERR_USAGE` */
export function parseSize(text: string, what = 'the size'): number {
  const match = /^(\d+(?:\.\d+)?)([bkmgtpe])?(?:i?b)?$/i.exec(text.trim())
  const bytes = Number(match?.[1]) * KIB ** UNITS.indexOf(match?.[2]?.toLowerCase() ?? 'b')
  if (Number.isSafeInteger(bytes)) return bytes
  throw usage(`${what} '${text}' is not a size; write it as 20G, 512M or a number of bytes`)
}

/** Writes a size as qemu-img does: `4 MiB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
  let unit = 0
  let value = bytes
  // Three digits, so that 1000 KiB are 0.977 MiB.
  while (value >= 1000 && unit < units.length - 1) {
    value /= KIB
    unit++
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`
}

/** The options of a new image. */
export interface CreateOptions extends Partial<Omit<Qcow2CreateOptions, 'backing'>> {
  readonly backing?: string
  readonly backingFormat?: ImageFormat
}

const REFCOUNT_BITS = [1, 2, 4, 8, 16, 32, 64]
const VERSIONS: Readonly<Record<string, 2 | 3>> = { '0.10': 2, v2: 2, '1.1': 3, v3: 3 }

/** Readers of the values of `-o`, by key. */
const OPTIONS: Readonly<Record<string, (value: string) => CreateOptions>> = {
  cluster_size: (value) => ({ clusterBytes: parseSize(value, '-o cluster_size') }),
  compat: (value) => {
    const version = VERSIONS[value]
    if (version === undefined) throw usage(`-o compat=${value} is unknown; there are 0.10 (v2) and 1.1 (v3)`)
    return { version }
  },
  refcount_bits: (value) => {
    const refcountBits = Number(value)
    if (REFCOUNT_BITS.includes(refcountBits)) return { refcountBits }
    throw usage(`-o refcount_bits=${value}: there are ${REFCOUNT_BITS.join(', ')}`)
  },
  lazy_refcounts: (value) => {
    if (value === 'on' || value === 'off') return { lazyRefcounts: value === 'on' }
    throw usage(`-o lazy_refcounts=${value}: there are on and off`)
  },
  size: (value) => ({ bytes: parseSize(value, '-o size') }),
  backing_file: (value) => ({ backing: value }),
  backing_fmt: (value) => ({ backingFormat: parseFormat(value) }),
}

/** Reads `-o`. A comma within a value is written twice. @throws CliError `ERR_USAGE` */
export function parseOptions(text: string | undefined, format: ImageFormat): CreateOptions {
  if (text === undefined) return {}
  const options: CreateOptions = {}
  for (const pair of splitPairs(text)) {
    const [key = '', value = ''] = pair.split(/=(.*)/s)
    if (format === 'raw' && key !== 'size') throw usage(`-o: a raw image has no option '${key}'; it has size`)
    const keys = Object.keys(OPTIONS)
    if (!keys.includes(key)) throw usage(`-o has no '${key}'; it has ${keys.join(', ')}${didYouMean(key, keys)}`)
    Object.assign(options, OPTIONS[key]!(value))
  }
  if (options.version === 2 && options.lazyRefcounts === true)
    throw usage('-o lazy_refcounts=on needs compat=1.1; leave out one of them')
  if (options.version === 2 && (options.refcountBits ?? 16) !== 16)
    throw usage(`-o refcount_bits=${options.refcountBits} needs compat=1.1; leave out one of them`)
  return options
}

/** Waits for work on an image file. @throws CliError `ERR_INPUT`, with the file's name, where the host's file fails */
export async function naming<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof BlockError)) throw error
    const what = error.code === 'ERR_NO_SPACE' ? 'there is no room for it: ' : ''
    throw new CliError('ERR_INPUT', `${shownName(path)}: ${what}${error.message}`)
  }
}
