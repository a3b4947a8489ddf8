import type { DriveOptions, MachineOptions, NetworkOptions } from '@retrap/web'

/** A machine to show. */
export interface Chosen {
  readonly title: string
  readonly options: MachineOptions
  /** The file of a cluster's run, or its address: it is shown instead of a machine. */
  readonly cluster?: File | string
  /** The guest's time at which a recording opens, in milliseconds; default its end. */
  readonly guestMs?: number
  /** The cluster whose machine it is. */
  readonly of?: ClusterPlace
  /** Identifier of the saved machine that it resumes. */
  readonly from?: string | null | undefined
  /** Identifier of an automatically saved machine that resumes. */
  readonly kept?: string | undefined
}

/** A cluster, and the machine and the instant in it that are shown. */
export interface ClusterPlace {
  /** Name of the machine. */
  readonly name: string
  /** The failure of the cluster's run, if any. */
  readonly failure: string | undefined
  /** Entry of the browser's history: Back and Forward lead out of the machine and into it. */
  readonly place: object
  /** The cluster's time for a time of the machine, both in milliseconds. */
  readonly timeOf: (guestMs: number) => number
}

/** The use of an image. */
export type Role = 'kernel' | 'initrd' | 'firmware' | 'vgaBios' | 'disk' | 'cdrom' | 'floppy' | 'recording' | 'cluster'

/** The names of the roles, for people. */
const ROLE_NAMES: Readonly<Record<Role, string>> = {
  kernel: 'Kernel',
  initrd: 'Initial RAM disk',
  firmware: 'Firmware',
  vgaBios: 'Video BIOS',
  disk: 'Disk',
  cdrom: 'CD',
  floppy: 'Floppy disk',
  recording: 'Recording',
  cluster: 'Run of a cluster',
}

export const ROLES = Object.entries(ROLE_NAMES) as readonly [Role, string][]

/** The other end of the network card's cable. */
export type NetworkKind = NetworkOptions['kind']

/** The names of networks, for people. */
export const NETWORK_NAMES: Readonly<Record<NetworkKind, string>> = {
  none: 'not plugged in',
  fetch: 'the web, through this page',
  tabs: 'machines in other tabs',
  relay: 'a relay of frames (wsproxy)',
  wisp: 'a relay of connections (Wisp)',
}

/** The kinds of networks with their names, in the order of a list. */
export const NETWORKS = Object.entries(NETWORK_NAMES) as readonly [NetworkKind, string][]

/** Prefix of a relay's address, by the kind of network. */
export const RELAYS = {
  relay: { pattern: 'wss?://.+', starts: 'wss:// or ws://' },
  // v86 defines schemes of its own for Wisp relays.
  wisp: { pattern: '(wss?|wisps?)://.+', starts: 'wss://, ws://, wisps:// or wisp://' },
} as const

/** Networks that lead to a relay. */
export type RelayKind = keyof typeof RELAYS

export const isRelay = (network: NetworkKind | 'off'): network is RelayKind => Object.hasOwn(RELAYS, network)

/** Interfaces of disks and CD drives. */
export const INTERFACES = ['ide', 'virtio', 'nvme', 'scsi', 'usb'] as const
export type Interface = (typeof INTERFACES)[number]

/** An image that the user has chosen: a file, or an address. */
export interface ChosenImage {
  readonly role: Role
  readonly source: File | string
  /** Interface of a disk or a CD; default `ide`. */
  readonly interface?: Interface
}

/** The content of the form. */
export interface Settings {
  readonly memory: string
  readonly cpus: string
  readonly board: 'pc' | 'q35' | 'virt'
  readonly vga: 'auto' | 'std' | 'none'
  readonly commandLine: string
  /** The processor model; empty: all supported features. */
  readonly cpu: string
  readonly hypervisor: 'none' | 'xen'
  /** A USB tablet in place of the mouse. */
  readonly tablet: boolean
  readonly sound: boolean
  /** Files are shared with the page. */
  readonly files: boolean
  /** Kind of network; `off`: no network card. */
  readonly network: NetworkKind | 'off'
  readonly relay: string
  /** The guest's writes to disks stay in this browser. */
  readonly keep: boolean
  readonly images: readonly ChosenImage[]
}

/** The first content of the form. */
export const DEFAULTS: Settings = {
  memory: '256',
  cpus: '1',
  board: 'pc',
  vga: 'auto',
  commandLine: 'console=ttyS0',
  cpu: '',
  hypervisor: 'none',
  tablet: false,
  sound: false,
  files: false,
  network: 'off',
  relay: '',
  keep: false,
  images: [],
}

export const BOARDS = ['pc', 'q35', 'virt'] as const
/** Consoles of Linux on the boards' serial ports. */
const CONSOLES = { pc: 'console=ttyS0', q35: 'console=ttyS0', virt: 'console=ttyAMA0' } as const

/** Returns the default command line of another board, unless the user has changed the text. */
export const commandLineFor = (board: Settings['board'], { board: old, commandLine }: Settings): string =>
  commandLine === CONSOLES[old] ? CONSOLES[board] : commandLine

/** Roles that only one image may have. */
const SINGLE: readonly Role[] = ['kernel', 'initrd', 'firmware', 'vgaBios', 'recording', 'cluster']

/** Adds an image; it replaces another one of the same role, if the role is unique. */
export function withImage(images: readonly ChosenImage[], image: ChosenImage): ChosenImage[] {
  const kept = SINGLE.includes(image.role) ? images.filter(({ role }) => role !== image.role) : images
  return [...kept, image]
}

/** A BIOS that the site has: addresses of its files. */
export interface SiteFirmware {
  readonly firmware: string
  readonly vgaBios: string
}

/** Whether only firmware of the site can start the images. */
export function needsFirmware({ images, board }: Settings): boolean {
  const has = (...roles: readonly Role[]): boolean => images.some(({ role }) => roles.includes(role))
  return board !== 'virt' && has('disk', 'cdrom', 'floppy') && !has('kernel', 'firmware', 'recording', 'cluster')
}

/**
 * Why these settings make no machine; null: they do.
 *
 * @param own - firmware of the site; null: none; undefined: not known yet
 */
export function problemOf(settings: Settings, own?: SiteFirmware | null): string | null {
  const { images, network, relay, board } = settings
  const has = (role: Role): boolean => images.some((image) => image.role === role)
  if (has('recording') || has('cluster')) return null
  if (isRelay(network) && !new RegExp(`^${RELAYS[network].pattern}$`).test(relay))
    return `A relay has an address that begins with ${RELAYS[network].starts}.`
  if (board === 'virt' && (has('firmware') || has('vgaBios')))
    return 'An Arm board starts a kernel here, without firmware.'
  if (board === 'virt' && has('floppy')) return 'An Arm board has no floppy drive.'
  if (images.filter(({ role }) => role === 'floppy').length > 2) return 'A PC has two floppy drives.'
  if (board === 'virt') return has('kernel') ? null : 'Choose a kernel for Arm, 64-bit, first.'
  if (has('kernel') || has('firmware')) return null
  if (!needsFirmware(settings)) return 'Choose a kernel, or firmware, first.'
  if (own === undefined) return 'Looking for a BIOS …'
  if (own !== null) return null
  return "A BIOS starts a disk or a CD, and this site has none. Add bios-256k.bin and vgabios-stdvga.bin here: Debian's package seabios has them in /usr/share/seabios."
}

/** Returns the network of the settings; undefined: none. */
function networkOptions({ network, relay }: Settings): NetworkOptions | undefined {
  if (network === 'off') return undefined
  return isRelay(network) ? { kind: network, url: relay } : { kind: network }
}

/** Bytes of a name that are kept: file systems have names of 255 bytes, and a suffix follows. */
const MOST_NAME_BYTES = 180

/** Returns the name of a kept disk for an image of this name: letters and digits of any script, points and hyphens. */
export function keptNameOf(name: string): string {
  const plain = name
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{M}\p{N}.-]+/gu, '-')
    .replace(/^[^\p{L}\p{N}]+/u, '')
  const characters = [...plain].slice(0, 90)
  while (new TextEncoder().encode(characters.join('')).length > MOST_NAME_BYTES) characters.pop()
  return characters.join('') || 'disk'
}

/** Returns a free name for a kept disk, and reserves it. @param taken - names of the machine's other disks */
function keptName(source: File | string, taken: Set<string>): string {
  const last = typeof source === 'string' ? source.replace(/[?#].*$/, '').replace(/^.*\//, '') : source.name
  const name = keptNameOf(last)
  let found = name
  for (let i = 2; taken.has(found); i++) found = `${name}-${i}`
  taken.add(found)
  return found
}

/** The machine that settings ask for. @param own - firmware of the site, for disks and CDs that come without */
export function machineOptions(settings: Settings, own?: SiteFirmware | null): MachineOptions {
  const { memory, cpus, board, vga, commandLine, images, cpu, hypervisor, tablet, sound, files } = settings
  const network = networkOptions(settings)
  const of = (role: Role): File | string | undefined => images.find((image) => image.role === role)?.source
  const recording = of('recording')
  // A recording has the machine's options, and its images.
  if (recording !== undefined) return { recording }
  const names = new Set<string>()
  const drives = images.flatMap(({ role, source, interface: way }): DriveOptions[] => {
    if (role === 'floppy') return [{ source, interface: 'floppy' }]
    if (role !== 'disk' && role !== 'cdrom') return []
    const drive = { media: role, source, ...(way !== undefined && { interface: way }) }
    return [role === 'disk' && settings.keep ? { ...drive, keep: keptName(source, names) } : drive]
  })
  const [kernel, initrd, givenFirmware, givenVgaBios] = (['kernel', 'initrd', 'firmware', 'vgaBios'] as const).map(of)
  const usual = needsFirmware(settings) ? own : null
  const firmware = givenFirmware ?? usual?.firmware
  const vgaBios = givenVgaBios ?? (vga === 'none' ? undefined : usual?.vgaBios)
  return {
    memoryBytes: Number(memory) * 2 ** 20,
    cpus: Number(cpus),
    board,
    ...(vga !== 'auto' && { vga }),
    ...(cpu !== '' && { cpu }),
    ...(hypervisor === 'xen' && { hypervisor }),
    ...(tablet && { tablet }),
    ...(sound && { sound }),
    ...(files && { files }),
    ...(network !== undefined && { network }),
    ...(kernel !== undefined && { kernel, commandLine }),
    ...(initrd !== undefined && { initrd }),
    ...(firmware !== undefined && { firmware }),
    ...(vgaBios !== undefined && { vgaBios }),
    // Firmware has a drive to look for.
    ...(drives.length > 0 || firmware !== undefined ? { drives } : {}),
  }
}

/** The end of an address that opens a recording of this site at once, or the run of a cluster. */
export const openingHash = ({ options, cluster }: Chosen): string =>
  `#${new URLSearchParams(cluster === undefined ? { open: options.recording as string } : { lanes: cluster as string })}`

/** The recording or the run of this site that an address opens at once, as `retrap web --recording` has it; null: none. */
export function openedBy(address: string): Chosen | null {
  const { hash, origin } = new URL(address)
  const given = new URLSearchParams(hash.slice(1))
  const [recording, cluster] = [given.get('open'), given.get('lanes')]
  const path = cluster ?? recording
  if (path === null || new URL(path, address).origin !== origin) return null
  const name = path.replace(/^.*\//, '')
  const title = /%(?![\da-f]{2})/i.test(name) ? name : decodeURIComponent(name)
  return { title, ...(cluster === null ? { options: { recording: path } } : { options: {}, cluster }) }
}

/** Settings as the end of an address that can be shared. Files, and whether disks are kept, are not part of it. */
export function toHash(settings: Settings): string {
  const found = new URLSearchParams()
  for (const key of ['memory', 'cpus', 'board', 'vga', 'commandLine', 'cpu', 'hypervisor', 'network'] as const)
    if (settings[key] !== DEFAULTS[key]) found.set(key, settings[key])
  if (isRelay(settings.network) && settings.relay !== '') found.set('relay', settings.relay)
  for (const key of ['tablet', 'sound', 'files'] as const) if (settings[key]) found.set(key, 'yes')
  for (const { role, source, interface: way } of settings.images)
    if (typeof source === 'string') found.append(way === undefined ? role : `${role}.${way}`, source)
  return found.size === 0 ? '' : `#${found}`
}

/** Settings of an address's end. Settings that are invalid are passed over. */
export function fromHash(hash: string): Settings {
  const given = new URLSearchParams(hash.replace(/^#/, ''))
  const number = (key: 'memory' | 'cpus'): string =>
    /^[1-9]\d{0,4}$/.test(given.get(key) ?? '') ? given.get(key)! : DEFAULTS[key]
  const vga = given.get('vga')
  const network = given.get('network') ?? ''
  return {
    memory: number('memory'),
    cpus: number('cpus'),
    board: BOARDS.find((board) => board === given.get('board')) ?? DEFAULTS.board,
    vga: vga === 'std' || vga === 'none' ? vga : 'auto',
    commandLine: given.get('commandLine') ?? DEFAULTS.commandLine,
    cpu: given.get('cpu') ?? DEFAULTS.cpu,
    hypervisor: given.get('hypervisor') === 'xen' ? 'xen' : 'none',
    tablet: given.get('tablet') === 'yes',
    sound: given.get('sound') === 'yes',
    files: given.get('files') === 'yes',
    network: Object.hasOwn(NETWORK_NAMES, network) ? (network as NetworkKind) : DEFAULTS.network,
    relay: given.get('relay') ?? DEFAULTS.relay,
    // A link of somebody else's would have his guest read the writes of the user's guests.
    keep: false,
    images: ROLES.flatMap(([role]) => imagesOf(given, role)),
  }
}

/** The images of a role: `disk=ADDRESS`, or `disk.virtio=ADDRESS`. In the order of the address, as drives are numbered by it. */
function imagesOf(given: URLSearchParams, role: Role): ChosenImage[] {
  return [...given].flatMap(([key, source]): ChosenImage[] => {
    if (key === role) return [{ role, source }]
    const way = INTERFACES.find((one) => key === `${role}.${one}`)
    return way === undefined ? [] : [{ role, source, interface: way }]
  })
}
