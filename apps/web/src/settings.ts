import type { DriveOptions, MachineOptions } from '@retrap/web'

/** A machine to show. */
export interface Chosen {
  readonly title: string
  readonly options: MachineOptions
}

/** What an image is for. */
export type Role = 'kernel' | 'initrd' | 'firmware' | 'vgaBios' | 'disk' | 'cdrom'

/** The names of the roles, for people. */
export const ROLE_NAMES: Readonly<Record<Role, string>> = {
  kernel: 'Kernel',
  initrd: 'Initial RAM disk',
  firmware: 'Firmware',
  vgaBios: 'Video BIOS',
  disk: 'Disk',
  cdrom: 'CD',
}

/** An image that the user has chosen: a file, or an address. */
export interface ChosenImage {
  readonly role: Role
  readonly source: File | string
}

/** What the form holds. */
export interface Settings {
  readonly memory: string
  readonly cpus: string
  readonly board: 'pc' | 'q35'
  readonly vga: 'auto' | 'std' | 'none'
  readonly commandLine: string
  readonly images: readonly ChosenImage[]
}

/** What the form holds at first. */
export const DEFAULTS: Settings = {
  memory: '256',
  cpus: '1',
  board: 'pc',
  vga: 'auto',
  commandLine: 'console=ttyS0',
  images: [],
}

const ROLES = Object.keys(ROLE_NAMES) as Role[]
/** Roles of which a machine has one. */
const SINGLE: readonly Role[] = ['kernel', 'initrd', 'firmware', 'vgaBios']

/** Adds an image; one of the same role makes room, where a machine has one only. */
export function withImage(images: readonly ChosenImage[], image: ChosenImage): ChosenImage[] {
  const kept = SINGLE.includes(image.role) ? images.filter(({ role }) => role !== image.role) : images
  return [...kept, image]
}

/** Why these settings make no machine; null: they do. */
export function problemOf({ images }: Settings): string | null {
  const has = (role: Role): boolean => images.some((image) => image.role === role)
  if (has('kernel') || has('firmware')) return null
  if (has('disk') || has('cdrom'))
    return 'A disk or a CD is started by firmware: add a BIOS, such as bios-256k.bin of SeaBIOS.'
  return 'Choose a kernel, or firmware, first.'
}

/** The machine that settings ask for. */
export function machineOptions({ memory, cpus, board, vga, commandLine, images }: Settings): MachineOptions {
  const of = (role: Role): File | string | undefined => images.find((image) => image.role === role)?.source
  const drives = images.flatMap(({ role, source }): DriveOptions[] =>
    role === 'disk' || role === 'cdrom' ? [{ media: role, source }] : [],
  )
  const [kernel, initrd, firmware, vgaBios] = (['kernel', 'initrd', 'firmware', 'vgaBios'] as const).map(of)
  return {
    memoryBytes: Number(memory) * 2 ** 20,
    cpus: Number(cpus),
    board,
    ...(vga !== 'auto' && { vga }),
    ...(kernel !== undefined && { kernel, commandLine }),
    ...(initrd !== undefined && { initrd }),
    ...(firmware !== undefined && { firmware }),
    ...(vgaBios !== undefined && { vgaBios }),
    // Firmware has a drive to look for.
    ...(drives.length > 0 || firmware !== undefined ? { drives } : {}),
  }
}

/** Settings as the end of an address that can be shared. Files are not part of it. */
export function toHash(settings: Settings): string {
  const found = new URLSearchParams()
  for (const key of ['memory', 'cpus', 'board', 'vga', 'commandLine'] as const)
    if (settings[key] !== DEFAULTS[key]) found.set(key, settings[key])
  for (const { role, source } of settings.images) if (typeof source === 'string') found.append(role, source)
  return found.size === 0 ? '' : `#${found}`
}

/** Settings of an address's end. What makes no sense there is passed over. */
export function fromHash(hash: string): Settings {
  const given = new URLSearchParams(hash.replace(/^#/, ''))
  const number = (key: 'memory' | 'cpus'): string =>
    /^[1-9]\d{0,4}$/.test(given.get(key) ?? '') ? given.get(key)! : DEFAULTS[key]
  const vga = given.get('vga')
  return {
    memory: number('memory'),
    cpus: number('cpus'),
    board: given.get('board') === 'q35' ? 'q35' : 'pc',
    vga: vga === 'std' || vga === 'none' ? vga : 'auto',
    commandLine: given.get('commandLine') ?? DEFAULTS.commandLine,
    images: ROLES.flatMap((role) => given.getAll(role).map((source) => ({ role, source }))),
  }
}
