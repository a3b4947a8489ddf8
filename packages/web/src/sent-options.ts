import { WebError } from './errors.ts'
import { isKeptName, KEPT_NAME } from './kept-disk-files.ts'
import type { DriveOptions, MachineOptions, NetworkOptions, Source } from './options.ts'
import { IMAGE_OPTIONS, type SentDrive, type SentNetwork, type SentOptions, type SentSource } from './protocol.ts'

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

/** Options sent unchanged. */
const PLAIN = [
  ...(['memoryBytes', 'cpus', 'smp', 'cpu', 'board', 'commandLine', 'vga'] as const),
  ...(['tablet', 'layout', 'hypervisor', 'sound', 'files', 'jit', 'keepFetched', 'record'] as const),
] satisfies (keyof SentOptions)[]

/** A machine's options in a form that can be sent. @throws WebError `ERR_OPTION` */
export function sentOptions(options: MachineOptions, shared: boolean): SentOptions {
  const images = {
    kernel: options.kernel,
    initrd: options.initrd,
    firmware: options.firmware,
    vgaBios: options.vgaBios,
    snapshot: options.snapshot,
    recording: options.recording,
  }
  const { smp } = options
  if (smp !== undefined && smp !== 'threads' && smp !== 'turns')
    throw new WebError('ERR_OPTION', `smp '${String(smp)}': expected 'threads' or 'turns'`)
  for (const name of options.board === 'virt' ? (['firmware', 'vgaBios'] as const) : [])
    if (images[name] !== undefined)
      throw new WebError('ERR_OPTION', `${name}: board 'virt' starts a kernel, without it`)
  const given = IMAGE_OPTIONS.filter((name) => images[name] !== undefined)
  return {
    ...Object.fromEntries(PLAIN.filter((name) => options[name] !== undefined).map((name) => [name, options[name]])),
    images: Object.fromEntries(given.map((name) => [name, sentSource(name, images[name]!)])),
    ...(options.network !== undefined && { network: sentNetwork(options.network) }),
    drives: options.drives === undefined ? null : sentDrives(options.drives),
    shared,
  }
}

function sentDrives(drives: readonly DriveOptions[]): SentDrive[] {
  const counts = { disk: 0, cd: 0, floppy: 0 }
  checkKept(drives)
  return drives.map(({ source, id, media = 'disk', ...rest }) => {
    const kind = rest.interface === 'floppy' ? 'floppy' : media === 'disk' ? 'disk' : 'cd'
    const name = id ?? `${kind}${counts[kind]}`
    counts[kind]++
    return { ...rest, id: name, media, source: source === null ? null : sentSource(name, source) }
  })
}

/** Six bytes of one card: the lowest bit of the first byte is that of groups. */
export const MAC_ADDRESS: RegExp = /^[\da-f][02468ace](:[\da-f]{2}){5}$/i

/** A network in a form that can be sent. @throws WebError `ERR_OPTION` */
export function sentNetwork(network: NetworkOptions): SentNetwork {
  const { card, macAddress } = network
  if (card !== undefined && card !== 'virtio' && card !== 'e1000')
    throw new WebError('ERR_OPTION', `network.card '${String(card)}': expected 'virtio' or 'e1000'`)
  if (macAddress !== undefined && !MAC_ADDRESS.test(macAddress))
    throw new WebError(
      'ERR_OPTION',
      `network.macAddress '${macAddress}': expected six bytes such as 52:54:00:12:34:56, the first one even`,
    )
  const plug = { ...(card !== undefined && { card }), ...(macAddress !== undefined && { macAddress }) }
  if (network.kind === 'fetch' || network.kind === 'none') return { ...plug, kind: network.kind }
  if (network.kind === 'tabs') return { ...plug, kind: 'tabs', name: String(network.name ?? 'retrap') }
  if (network.kind === 'relay' || network.kind === 'wisp')
    return { ...plug, kind: network.kind, url: relayAddress(network.kind, network.url) }
  const { kind } = network as { readonly kind: unknown }
  throw new WebError(
    'ERR_OPTION',
    `network.kind '${String(kind)}': expected 'fetch', 'tabs', 'relay', 'wisp' or 'none'`,
  )
}

/** @throws WebError `ERR_OPTION` */
function relayAddress(kind: 'relay' | 'wisp', given: string | URL): string {
  // The schemes by which v86 tells the two kinds of relays apart.
  const address = kind === 'wisp' ? String(given).replace(/^wisp(?=s?:)/i, 'ws') : given
  const url = URL.parse(address, document.baseURI)
  const bad = (why: string): WebError => new WebError('ERR_OPTION', `network.url '${String(given)}': ${why}`)
  if (url === null || !/^wss?:$/.test(url.protocol)) throw bad('expected an address such as wss://relay.example/')
  if (url.protocol === 'ws:' && location.protocol === 'https:' && !/^(localhost|127\..*|\[::1\])$/.test(url.hostname))
    throw bad('a page that came by https may use wss: only')
  url.hash = ''
  return url.href
}

/** @throws WebError `ERR_OPTION` */
function checkKept(drives: readonly DriveOptions[]): void {
  const names = drives.filter(({ keep }) => keep !== undefined).map(({ keep }) => keep!)
  for (const [i, name] of names.entries()) {
    if (!isKeptName(name)) throw new WebError('ERR_OPTION', `keep '${name}': ${KEPT_NAME}`)
    if (names.indexOf(name) < i) throw new WebError('ERR_OPTION', `keep '${name}': two disks of one name`)
  }
  const disc = drives.find(({ keep, media, source }) => keep !== undefined && (media === 'cdrom' || source === null))
  if (disc !== undefined) throw new WebError('ERR_OPTION', `keep '${disc.keep}': only a disk is written to`)
}
