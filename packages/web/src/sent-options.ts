import { WebError } from './errors.ts'
import type { DriveOptions, MachineOptions, Source } from './options.ts'
import { IMAGE_OPTIONS, type SentDrive, type SentOptions, type SentSource } from './protocol.ts'

/** An image in a form that can be sent. @throws WebError `ERR_OPTION` */
export function sentSource(name: string, source: Source): SentSource {
  if (typeof source === 'string' || source instanceof URL) {
    if (!URL.canParse(source, document.baseURI))
      throw new WebError('ERR_OPTION', `${name} '${String(source)}': expected an address`)
    // A Worker's own addresses are relative to its program.
    return { url: new URL(source, document.baseURI).href }
  }
  if (source instanceof Blob) return { blob: source }
  if (source instanceof ArrayBuffer) return { bytes: new Uint8Array(source.slice(0)) }
  if (source instanceof Uint8Array) return { bytes: source.slice() as Uint8Array<ArrayBuffer> }
  throw new WebError('ERR_OPTION', `${name}: expected an address, a Blob, an ArrayBuffer or a Uint8Array`)
}

/** Options that are sent as they are. */
const PLAIN = [
  ...(['memoryBytes', 'cpus', 'cpu', 'board', 'commandLine', 'vga'] as const),
  ...(['tablet', 'layout', 'hypervisor', 'jit'] as const),
] satisfies (keyof SentOptions)[]

/** A machine's options in a form that can be sent. @throws WebError `ERR_OPTION` */
export function sentOptions(options: MachineOptions, shared: boolean): SentOptions {
  const images = {
    kernel: options.kernel,
    initrd: options.initrd,
    firmware: options.firmware,
    vgaBios: options.vgaBios,
    snapshot: options.snapshot,
  }
  const given = IMAGE_OPTIONS.filter((name) => images[name] !== undefined)
  return {
    ...Object.fromEntries(PLAIN.filter((name) => options[name] !== undefined).map((name) => [name, options[name]])),
    images: Object.fromEntries(given.map((name) => [name, sentSource(name, images[name]!)])),
    drives: options.drives === undefined ? null : sentDrives(options.drives),
    shared,
  }
}

function sentDrives(drives: readonly DriveOptions[]): SentDrive[] {
  const counts = { disk: 0, cdrom: 0 }
  return drives.map(({ source, id, media = 'disk', ...rest }) => {
    const name = id ?? `${media === 'disk' ? 'disk' : 'cd'}${counts[media]}`
    counts[media]++
    return { ...rest, id: name, media, source: source === null ? null : sentSource(name, source) }
  })
}
