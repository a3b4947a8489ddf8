import { WebError } from './errors.ts'
import type { DriveOptions, MachineOptions, NetworkOptions } from './options.ts'

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }
/** Text and address options, with their attributes. */
const TEXTS = [
  ...(['kernel', 'initrd', 'firmware', 'snapshot', 'recording', 'cpu', 'layout'] as const).map(
    (name) => [name, name] as const,
  ),
  ['commandLine', 'command-line'],
  ['vgaBios', 'vga-bios'],
] as const
/** Options with few values. */
const CHOICES = {
  board: ['pc', 'q35', 'virt'],
  vga: ['std', 'none'],
  hypervisor: ['none', 'xen'],
  smp: ['threads', 'turns'],
  transport: ['auto', 'shared', 'messages'],
} as const
/** Boolean options with default true. */
const SWITCHES = [
  ['jit', 'jit'],
  ['keepFetched', 'keep-fetched'],
] as const
const INTERFACES = ['ide', 'virtio', 'nvme', 'scsi', 'usb'] as const
const NETWORKS = ['fetch', 'tabs', 'relay', 'wisp', 'none'] as const

/** Returns the value of an attribute; null: absent. */
type Attributes = (name: string) => string | null

/** The options that an element's attributes ask for. @throws WebError `ERR_OPTION` for a value that an attribute cannot have */
export function optionsOf(attribute: Attributes): MachineOptions {
  const [memory, cpus] = [attribute('memory'), attribute('cpus')]
  const drives = drivesOf(attribute)
  const network = networkOf(attribute)
  return Object.fromEntries(
    Object.entries({
      ...Object.fromEntries(TEXTS.map(([option, name]) => [option, attribute(name) ?? undefined])),
      ...Object.fromEntries(Object.entries(CHOICES).map(([name, values]) => [name, choice(attribute, name, values)])),
      ...Object.fromEntries(SWITCHES.map(([option, name]) => [option, isOn(attribute, name)])),
      memoryBytes: memory === null ? undefined : bytesOf(memory),
      cpus: cpus === null ? undefined : Number(cpus),
      tablet: attribute('tablet') === null ? undefined : true,
      sound: attribute('sound') === null ? undefined : true,
      files: attribute('files') === null ? undefined : true,
      record: attribute('record') === null ? undefined : true,
      drives: drives.length === 0 ? undefined : drives,
      network,
    }).filter(([, value]) => value !== undefined),
  )
}

/** The drives: a disk, a CD, a floppy disk. */
function drivesOf(attribute: Attributes): DriveOptions[] {
  const keep = attribute('keep')
  const kinds = [
    { name: 'disk', ...(keep !== null && { keep }) },
    { name: 'cdrom', media: 'cdrom' },
    { name: 'floppy', interface: 'floppy' },
  ] as const
  return kinds.flatMap(({ name, ...kind }): DriveOptions[] => {
    const source = attribute(name)
    if (source === null) return []
    const way = choice(attribute, `${name}-interface`, INTERFACES)
    return [{ source, ...(way !== undefined && { interface: way }), ...kind }]
  })
}

function networkOf(attribute: Attributes): NetworkOptions | undefined {
  const kind = choice(attribute, 'network', NETWORKS)
  if (kind === undefined) return undefined
  const [name, macAddress] = [attribute('network-name'), attribute('mac-address')]
  const card = choice(attribute, 'network-card', ['virtio', 'e1000'])
  const plug = { ...(card !== undefined && { card }), ...(macAddress !== null && { macAddress }) }
  if (kind === 'relay' || kind === 'wisp') return { ...plug, kind, url: attribute('network-url') ?? '' }
  return kind === 'tabs' ? { ...plug, kind, ...(name !== null && { name }) } : { ...plug, kind }
}

/** @throws WebError `ERR_OPTION` */
function choice<T extends string>(attribute: Attributes, name: string, values: readonly T[]): T | undefined {
  const given = attribute(name)
  if (given === null) return undefined
  const found = values.find((value) => value === given)
  if (found === undefined)
    throw new WebError('ERR_OPTION', `${name} '${given}': expected ${values.map((value) => `'${value}'`).join(', ')}`)
  return found
}

/** @throws WebError `ERR_OPTION` */
function isOn(attribute: Attributes, name: string): boolean | undefined {
  const given = choice(attribute, name, ['on', 'off'])
  return given === undefined ? undefined : given === 'on'
}

/** @throws WebError `ERR_OPTION` */
function bytesOf(memory: string): number {
  const [, count, unit = ''] = /^(\d+)([kmg]?)(?:i?b)?$/i.exec(memory.trim()) ?? []
  if (count === undefined) throw new WebError('ERR_OPTION', `memory '${memory}': expected a size such as 512M or 1G`)
  return Number(count) * UNITS[unit.toLowerCase()]!
}
