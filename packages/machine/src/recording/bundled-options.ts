import type { BlockBackend, PacketBackend } from '@retrap/device'
import type { Share } from '@retrap/virtio/p9'
import { factsOf, type NetworkFacts } from '../back-ends/packets.ts'
import type { MachineTrait } from '../refusals/refusals.ts'
import { type ComposedOptions, traitsOf } from '../refusals/traits.ts'
import { unusedMedium, unusedNetwork } from '../controllers-worker/unused.ts'
import { MachineError } from '../errors.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import type { PcOptions } from '../options/pc-options.ts'

/** Options that are of the host, and not of the machine. */
const OF_HOST: ReadonlySet<string> = new Set<keyof PcOptions>([
  ...(['snapshot', 'forks', 'jit', 'screen', 'keyboard', 'mouse', 'speaker'] as const),
  ...(['trace', 'sampling', 'profile', 'codeCacheBytes', 'keepsPace', 'devices', 'deviceServers'] as const),
])

/** Replaces values other than plain data: an image by its number, a medium, a network, a folder, or the far end of a stream. */
type Stand =
  | { readonly $image: number }
  | { readonly $medium: BlockBackend['properties'] }
  | { readonly $network: NetworkFacts }
  | { readonly $share: true }
  | { readonly $stream: true }

/** The options of a machine in a recording: JSON data, with images apart. */
export interface BundledOptions {
  /** Plain data. */
  readonly options: object
  /** Kernels and other images, which the options refer to by number. */
  readonly images: readonly Uint8Array[]
}

/** Replaces a disk that is not available: a replay does not read it, and a machine that continues sees errors. */
function absentMedium(properties: BlockBackend['properties']): BlockBackend {
  const absent = (): Promise<never> => Promise.reject(new Error('the recording has no more of this disk'))
  const none = unusedMedium(properties)
  return { ...none, read: absent, write: absent, flush: absent, discard: absent, writeZeroes: absent }
}

/** Replaces a shared folder that is not available. */
const ABSENT_SHARE: Share = { root: () => Promise.reject(new Error('the recording has no more of this folder')) }

/** Parts of a machine that only their program makes. */
const OF_PROGRAM: readonly MachineTrait[] = [
  ...(['model', 'deterministic-model', 'vsock', 'virtio-device', 'virtio-mmio', 'usb-device'] as const),
  ...(['worker', 'controllers', 'server'] as const),
]

const has = (value: object, ...methods: readonly string[]): boolean =>
  methods.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')

/**
 * Returns the options of a machine of any board as plain data, with which its recording is replayed anywhere. Its disks, networks and
 * folders are left out: a recording has their data.
 *
 * @throws MachineError `ERR_OPTION` for a machine with models of the caller, vsocks or placed devices, which only their program makes
 */
export function bundleOptions(options: MachineOptions): BundledOptions {
  const traits = traitsOf(options as ComposedOptions)
  if (OF_PROGRAM.some((trait) => traits.has(trait)))
    throw new MachineError(
      'ERR_OPTION',
      'a bundle: models of your own, vsocks, and devices in other threads are made by their program alone; leave them or the bundle out',
    )
  const images: Uint8Array[] = []
  const plain = (value: unknown): unknown => {
    if (typeof value === 'function') return undefined
    if (typeof value !== 'object' || value === null) return value
    if (value instanceof Uint8Array) return { $image: images.push(value) - 1 } satisfies Stand
    if (Array.isArray(value)) return value.map(plain)
    if (has(value, 'read', 'writeZeroes')) return { $medium: (value as BlockBackend).properties } satisfies Stand
    if (has(value, 'root')) return { $share: true } satisfies Stand
    if (has(value, 'connect', 'ready') && 'linkUp' in value)
      return { $network: factsOf(value as PacketBackend) } satisfies Stand
    if (has(value, 'send')) return { $stream: true } satisfies Stand
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, part]) => (name === 'audio' ? [] : [[name, plain(part)]])),
    )
  }
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => !OF_HOST.has(name)))
  return { options: plain(own) as object, images }
}

/**
 * Returns the options given to {@link bundleOptions}, as far as a replay needs them.
 *
 * @throws MachineError `ERR_OPTION` for data that is not bundled options
 */
export function optionsOfBundle({ options, images }: BundledOptions): PcOptions {
  const bad = (what: string): MachineError => new MachineError('ERR_OPTION', `a bundle: ${what}`)
  const whole = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(whole)
    const { $image, $medium, $network, $share, $stream } = value as Partial<Record<string, unknown>>
    if ($image !== undefined) {
      const image = images[$image as number]
      if (image === undefined) throw bad(`it lacks image ${Number($image)}`)
      return image
    }
    if ($medium !== undefined) return absentMedium($medium as BlockBackend['properties'])
    if ($network !== undefined) return unusedNetwork($network as NetworkFacts)
    if ($share !== undefined) return ABSENT_SHARE
    if ($stream !== undefined) return { send: () => undefined }
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, whole(part)]))
  }
  const made = whole(options) as Partial<PcOptions> | null
  if (typeof made?.memoryBytes !== 'number') throw bad('it has no options of a machine')
  return made as PcOptions
}
