// Converts a machine to a file for `retrap run machine.json`, and back, as far as a page has its options. Loaded on demand.
import {
  BOARDS,
  type ChosenImage,
  commandLineFor,
  DEFAULTS,
  type Interface,
  INTERFACES,
  type NetworkKind,
  type Role,
  type Settings,
} from './settings.ts'

type Values = Readonly<Record<string, unknown>>

/** A machine file that waits for the files that it names. */
export interface BroughtMachine {
  readonly text: string
  readonly missing: readonly string[]
  /** The mistake in the machine file. */
  readonly error: string
}

/** The machine that a file describes. */
export interface ReadMachine {
  readonly settings: Settings
  /** Names of required files that were not given. */
  readonly missing: readonly string[]
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** -10, m: 1, g: 2 ** 10 }
/** Interfaces whose drives are separate devices in a machine file. */
const DRIVE_DEVICES = { nvme: 'nvme', usb: 'usb-storage' } as const
/** The controller of USB devices, present if the machine has any. */
const XHCI = 'qemu-xhci'
const SOUND_CARD = 'AC97'
/** Options that name a single file. */
const FILES = ['kernel', 'initrd', 'firmware'] as const
/** Numbers of hubs: one shared with other machines, and one for this machine alone. */
const HUBS = { tabs: 0, none: 1 } as const
const KEYS = [
  ...['memory', 'cpus', 'cpu', 'machine', 'arch', 'hypervisor', 'vga', 'kernel', 'initrd', 'append', 'firmware'],
  ...['images', 'hda', 'cdrom', 'drive', 'device', 'nic', 'snapshot'],
]
const DRIVE_KEYS = ['file', 'if', 'media', 'snapshot', 'format', 'id']

const isObject = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const DRIVE_ROLES: readonly Role[] = ['disk', 'cdrom', 'floppy']

const listOf = (value: unknown): readonly unknown[] =>
  value === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value]

/** Writes the file. Images that the user has chosen are named by their files' names. @param base - base of relative addresses */
export function toMachineJson(settings: Settings, base: string): string {
  const { board, network, images } = settings
  const nameOf = (source: File | string): string =>
    typeof source === 'string' ? (URL.parse(source, base)?.href ?? source) : source.name
  const single = (role: Role): string | undefined => {
    const image = images.find((one) => one.role === role)
    return image && nameOf(image.source)
  }
  const drives = images.filter(({ role }) => DRIVE_ROLES.includes(role))
  const kernel = single('kernel')
  const devices = [
    // The controller must precede the USB devices.
    ...(settings.tablet || drives.some((drive) => drive.interface === 'usb') ? [XHCI] : []),
    ...(settings.tablet ? ['usb-tablet'] : []),
    ...(settings.sound ? [SOUND_CARD] : []),
    ...drives.flatMap(({ interface: way }, i) =>
      way === 'nvme' || way === 'usb' ? [{ name: DRIVE_DEVICES[way], drive: `drive${i}` }] : [],
    ),
  ]
  const content = {
    ...(board === 'virt' ? { arch: 'arm64' } : {}),
    machine: board,
    memory: `${settings.memory}M`,
    cpus: Number(settings.cpus),
    ...(settings.cpu !== '' && { cpu: settings.cpu }),
    ...(settings.hypervisor === 'xen' && { hypervisor: 'xen' }),
    ...(settings.vga !== 'auto' && { vga: settings.vga }),
    kernel,
    initrd: single('initrd'),
    ...(kernel !== undefined && { append: settings.commandLine }),
    firmware: single('firmware'),
    ...(drives.length > 0 && {
      // `snapshot`: a page never writes to the user's files.
      drive: drives.map(({ role, source, interface: way }, i) => ({
        file: nameOf(source),
        ...(way === undefined ? {} : way === 'nvme' || way === 'usb' ? { if: 'none', id: `drive${i}` } : { if: way }),
        ...(role === 'floppy' ? { if: 'floppy' } : { media: role }),
        ...(role !== 'cdrom' && { snapshot: true }),
      })),
    }),
    ...(devices.length > 0 && { device: devices }),
    ...(network !== 'off' && { nic: nicOf(network, settings.relay) }),
  }
  return `${JSON.stringify(content, null, 2)}\n`
}

/** In place of `fetch`, and of a relay that makes connections, there is the host's network. */
function nicOf(network: NetworkKind, relay: string): Values {
  if (network === 'fetch' || network === 'wisp') return { kind: 'user' }
  return network === 'relay' ? { kind: 'websocket', url: relay } : { kind: 'hubport', hubid: HUBS[network] }
}

/**
 * Reads such a file.
 *
 * @param files - the user's files, for the names in the machine file; addresses need none
 * @throws Error that explains the mistake
 */
export function fromMachineJson(text: string, files: readonly File[]): ReadMachine {
  const content = parse(text)
  const unknown = Object.keys(content).find((key) => key !== '$schema' && !KEYS.includes(key))
  if (unknown !== undefined)
    throw new Error(`${unknown}: a machine in a page has no such option; it has ${KEYS.join(', ')}`)
  const missing: string[] = []
  const images: ChosenImage[] = []
  const add = (place: string, role: Role, name: unknown, way?: Interface): void => {
    if (typeof name !== 'string' || name === '') throw new Error(`${place}: expected a file's name, or an address`)
    const source = /^https?:/i.test(name) ? name : files.find((file) => file.name === lastPart(name))
    if (source === undefined) missing.push(name)
    else images.push({ role, source, ...(way !== undefined && { interface: way }) })
  }
  for (const key of FILES) if (content[key] !== undefined) add(key, key, content[key])
  const devices = devicesOf(content)
  for (const [i, name] of listOf(content.images).entries()) add(`images[${i}]`, mediaOf(name), name)
  if (content.hda !== undefined) add('hda', 'disk', content.hda)
  if (content.cdrom !== undefined) add('cdrom', 'cdrom', content.cdrom)
  for (const [i, one] of listOf(content.drive).entries()) {
    const place = `drive[${i}]`
    const drive = isObject(one) ? one : { file: one }
    const wrong = Object.keys(drive).find((key) => !DRIVE_KEYS.includes(key))
    if (wrong !== undefined) throw new Error(`${place}.${wrong}: a page's drives have ${DRIVE_KEYS.join(', ')}`)
    const { media = mediaOf(drive.file) } = drive
    if (media !== 'disk' && media !== 'cdrom') throw new Error(`${place}.media: expected disk or cdrom`)
    if (drive.if === 'floppy') add(place, 'floppy', drive.file)
    else add(place, media, drive.file, interfaceOf(place, drive, devices))
  }
  // The video BIOS is none of the file's: the command line brings its own.
  const own = files.find((file) => /^vgabios/i.test(file.name))
  if (own !== undefined) images.push({ role: 'vgaBios', source: own })
  const board = boardOf(content)
  const { network, relay } = networkOf(content)
  const commandLine =
    content.append === undefined ? commandLineFor(board, DEFAULTS) : textOf('append', content.append, /^/)
  const settings: Settings = {
    memory: memoryOf(content.memory),
    cpus: content.cpus === undefined ? '1' : textOf('cpus', content.cpus, /^[1-9]\d{0,2}$/),
    board,
    ...{ vga: oneOf('vga', content.vga, ['auto', 'std', 'none']), commandLine, network, relay },
    cpu: content.cpu === undefined ? '' : textOf('cpu', content.cpu, /./),
    hypervisor: oneOf('hypervisor', content.hypervisor, ['none', 'xen']),
    tablet: devices.some(({ name }) => name === 'usb-tablet'),
    sound: devices.some(({ name }) => name === SOUND_CARD),
    // The command line shares folders of the host, and no page has those.
    files: false,
    // A file of somebody else's would have his guest read the writes of the user's guests.
    keep: false,
    images,
  }
  return { settings, missing }
}

function parse(text: string): Values {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    throw new Error(`It is not JSON: ${error instanceof Error ? error.message : ''}`, { cause: error })
  }
  if (!isObject(content)) throw new Error('It has no object with options, such as { "memory": "1G" }.')
  return content
}

const lastPart = (name: string): string => name.replace(/^.*[/\\]/, '')
const mediaOf = (name: unknown): 'disk' | 'cdrom' =>
  typeof name === 'string' && /\.iso$/i.test(name) ? 'cdrom' : 'disk'

function textOf(place: string, value: unknown, form: RegExp): string {
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || !form.test(text))
    throw new Error(`${place}: ${JSON.stringify(value)} is invalid; expected ${form.source}`)
  return text
}

function oneOf<T extends string>(place: string, value: unknown, names: readonly [T, ...T[]]): T {
  if (value === undefined) return names[0]
  const found = names.find((name) => name === value)
  if (found === undefined) throw new Error(`${place}: a page has ${names.join(', ')}`)
  return found
}

function memoryOf(value: unknown = '512M'): string {
  const text = textOf('memory', value, /^\d+(?:\.\d+)?\s*[kmg]?(?:i?b)?$/i)
  const [, count, unit = ''] = /^([\d.]+)\s*([kmg]?)/i.exec(text)!
  const mebibytes = Number(count) * UNITS[unit.toLowerCase()]!
  if (!Number.isInteger(mebibytes) || mebibytes < 1) throw new Error(`memory: ${text} is not a whole number of MiB`)
  return String(mebibytes)
}

function boardOf({ arch, machine }: Values): Settings['board'] {
  const isArm = oneOf('arch', arch, ['amd64', 'arm64']) === 'arm64'
  const board = machine === undefined || (isArm && machine === 'pc') ? (isArm ? 'virt' : 'pc') : machine
  const found = BOARDS.find((one) => one === board && (one === 'virt') === isArm)
  if (found === undefined)
    throw new Error(`machine: a page has ${isArm ? 'virt' : 'pc and q35, and virt with "arch": "arm64"'}`)
  return found
}

function devicesOf({ device }: Values): Values[] {
  const known: readonly unknown[] = [XHCI, 'usb-tablet', SOUND_CARD, ...Object.values(DRIVE_DEVICES)]
  return listOf(device).map((one, i) => {
    const found = isObject(one) ? one : { name: one }
    if (!known.includes(found.name)) throw new Error(`device[${i}]: a page has ${known.join(', ')}`)
    return found
  })
}

/** The interface that a drive says, or a device that takes it. */
function interfaceOf(place: string, { if: given, id }: Values, devices: readonly Values[]): Interface | undefined {
  if (given === undefined) return undefined
  if (given === 'none') {
    const device = devices.find(({ drive }) => drive === id && id !== undefined)
    const way = (Object.keys(DRIVE_DEVICES) as (keyof typeof DRIVE_DEVICES)[]).find(
      (one) => DRIVE_DEVICES[one] === device?.name,
    )
    if (way === undefined) throw new Error(`${place}: no device of nvme or usb-storage takes it`)
    return way
  }
  const way = INTERFACES.find((one) => one === given)
  if (way === undefined) throw new Error(`${place}.if: a page has ide, virtio, scsi, floppy and none`)
  return way
}

function networkOf({ nic }: Values): Pick<Settings, 'network' | 'relay'> {
  const [first, ...others] = listOf(nic)
  if (first === undefined || first === 'none') return { network: 'off', relay: '' }
  if (others.length > 0) throw new Error('nic: a machine in a page has one network card')
  const { kind, url, hubid } = isObject(first) ? first : { kind: first, url: '', hubid: 0 }
  if (kind === 'user') return { network: 'fetch', relay: '' }
  if (kind === 'websocket') return { network: 'relay', relay: textOf('nic.url', url, /^wss?:\/\/./) }
  if (kind === 'hubport') return { network: Number(hubid ?? 0) === HUBS.tabs ? 'tabs' : 'none', relay: '' }
  throw new Error('nic: a page has the kinds user, hubport and websocket')
}
