import { Keyboard, Mouse, Screen } from '@retrap/display'
import type { ComposedOptions } from './refusals/traits.ts'
import { MachineError } from './errors.ts'
import { CHIPSETS } from './machine-type.ts'
import type { PcOptions } from './options/pc-options.ts'
import { SERIAL_PORTS } from './board/serial-port.ts'
import { VIRTIO_INPUT } from './options/virtio-device.ts'

/** The rule for an option of {@link PcOptions}, where the type checker has not looked. */
interface Rule {
  readonly expected: string
  accepts(value: unknown): boolean
}

const isBytes = (value: unknown): boolean => value instanceof Uint8Array
const oneOf = (...values: readonly unknown[]): Rule => ({
  expected: values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(' or '),
  accepts: (value) => values.includes(value),
})
const arrayOf = (what: string, accepts: (value: unknown) => boolean): Rule => ({
  expected: `an array of ${what}`,
  accepts: (value) => Array.isArray(value) && value.every(accepts),
})
const wholeFrom = (least: number, most: number): Rule => ({
  expected: `a whole number from ${least} to ${most}`,
  accepts: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
})
const typed = (type: string, expected: string): Rule => ({ expected, accepts: (value) => typeof value === type })
/** Whether a value has fields. */
export const object = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
const image: Rule = { expected: "the image's bytes, a Uint8Array", accepts: isBytes }
const flag = typed('boolean', 'true or false')
const callback = typed('function', 'a function')

const isAscii = (value: unknown): value is string => typeof value === 'string' && /^[ -~]+$/.test(value)
const isText = (value: unknown): boolean => value === undefined || (isAscii(value) && value.length <= 64)
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i
const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
const isMedium = (value: unknown): boolean => object(value) && typeof value['read'] === 'function'

function isDrive(value: unknown): boolean {
  if (!object(value)) return false
  const { medium, media, bootIndex, serialNumber, model, virtio, nvme, scsi } = value
  return (
    (medium === null || isMedium(medium)) &&
    [undefined, 'disk', 'cdrom'].includes(media as undefined) &&
    [undefined, 'ide', 'virtio', 'nvme', 'scsi', 'usb', 'floppy'].includes(value['interface'] as undefined) &&
    [virtio, nvme, scsi].every((place) => place === undefined || object(place)) &&
    (bootIndex === undefined || (Number.isInteger(bootIndex) && (bootIndex as number) >= 0)) &&
    [serialNumber, model].every((text) => text === undefined || typeof text === 'string')
  )
}

/** The option rules that all network cards share. */
const isOnNetwork = ({ network, rom }: Readonly<Record<string, unknown>>): boolean =>
  object(network) && typeof network['connect'] === 'function' && (rom === undefined || rom instanceof Uint8Array)

function isVirtio(value: unknown): boolean {
  if (!object(value)) return false
  const { kind, device, ports, share, tag, cid, host } = value
  return (
    kind === 'rng' ||
    kind === 'scsi' ||
    (VIRTIO_INPUT as readonly unknown[]).includes(kind) ||
    (kind === 'console' && Array.isArray(ports) && ports.every((port) => object(port) && object(port['stream']))) ||
    (kind === 'net' && isOnNetwork(value)) ||
    (kind === 'share' && object(share) && typeof share['root'] === 'function' && typeof tag === 'string') ||
    (kind === 'vsock' && typeof cid === 'number' && (host === undefined || object(host))) ||
    (kind === 'device' && object(device))
  )
}

function isSound(value: unknown): boolean {
  if (!object(value) || value['model'] !== 'ac97') return false
  const { audio } = value
  return audio === undefined || (object(audio) && typeof audio['play'] === 'function')
}

function isNetworkCard(value: unknown): boolean {
  return object(value) && value['model'] === 'e1000' && isOnNetwork(value)
}

function isUsb(value: unknown): boolean {
  if (!object(value)) return false
  const { devices = [] } = value
  const kinds = ['keyboard', 'mouse', 'tablet', 'device']
  return (
    Array.isArray(devices) &&
    devices.every((one) => object(one) && kinds.includes(String(one['kind']))) &&
    devices.every((one) => one.kind !== 'device' || object(one.device))
  )
}

const RULES: Readonly<Partial<Record<keyof PcOptions, Rule>>> = {
  machine: oneOf(...Object.keys(CHIPSETS)),
  kernel: image,
  initrd: image,
  firmware: image,
  flash: arrayOf('{ medium: BlockBackend, readOnly? }', (value) => object(value) && isMedium(value['medium'])),
  modules: arrayOf('{ bytes: Uint8Array, commandLine: string }', (value) => object(value) && isBytes(value['bytes'])),
  optionRoms: arrayOf(
    '{ name: string, bytes: Uint8Array }',
    (value) => object(value) && typeof value['name'] === 'string' && isBytes(value['bytes']),
  ),
  commandLine: typed('string', 'text'),
  forks: {
    expected: '{ clones, writtenBytes }: whole numbers, of clones 1 or more',
    accepts: (value) =>
      object(value) && isWhole(value['clones']) && value['clones'] !== 0 && isWhole(value['writtenBytes']),
  },
  generation: {
    expected: "{ after?: 'new', 'same' or a whole number }",
    accepts: (value) =>
      object(value) && (['new', 'same', undefined].includes(value['after'] as string) || isWhole(value['after'])),
  },
  snapshot: {
    expected: 'what save returned',
    accepts: (value) => object(value) && object(value['state']) && object(value['pages']),
  },
  drives: arrayOf(
    '{ medium: BlockBackend or null, media?, interface?, virtio?, nvme?, scsi?, index?, bootIndex?, serialNumber?, model? }',
    isDrive,
  ),
  usb: {
    expected: '{ slot?, port?, ports?, devices?: [{ kind, … }] }, or a list of such',
    accepts: (value) => [value].flat().every(isUsb),
  },
  virtio: arrayOf(
    "{ kind: 'rng', 'scsi', 'keyboard', 'mouse', 'tablet', 'console' with ports, 'net' with a network, 'share' with a share and a tag, 'vsock' with a cid, or 'device' with a device, … }",
    isVirtio,
  ),
  rootPorts: arrayOf('{ id, slot? }', (value) => object(value) && typeof value['id'] === 'string'),
  sound: arrayOf("{ model: 'ac97', audio?: AudioBackend, slot?, port? }", isSound),
  networkCards: arrayOf(
    "{ model: 'e1000', network: PacketBackend, macAddress?, rom?, bootIndex?, slot?, port? }",
    isNetworkCard,
  ),
  boot: {
    expected: "{ order?: letters of 'acdn', menu?: boolean }",
    accepts: (value) =>
      object(value) &&
      (value['order'] === undefined || (typeof value['order'] === 'string' && /^[acdn]+$/.test(value['order']))) &&
      ['undefined', 'boolean'].includes(typeof value['menu']),
  },
  fwCfgFiles: {
    expected: 'bytes by names of at most 55 ASCII characters',
    accepts: (value) =>
      object(value) && Object.entries(value).every(([name, bytes]) => isBytes(bytes) && /^[!-~]{1,55}$/.test(name)),
  },
  smbios: {
    expected: '{ uuid?: as 00112233-4455-6677-8899-aabbccddeeff, serial?, strings?, … }: texts of ASCII',
    accepts: (value) =>
      object(value) &&
      (value['uuid'] === undefined || UUID.test(value['uuid'] as string)) &&
      Object.values(value).every((one) => (Array.isArray(one) ? one.length < 256 && one.every(isAscii) : isText(one))),
  },
  vga: oneOf('std', 'ramfb', 'none'),
  preferredMode: {
    expected: '{ width, height }, or null',
    accepts: (value) =>
      value === null || (object(value) && [value['width'], value['height']].every((side) => Number.isInteger(side))),
  },
  vgaBios: image,
  screen: { expected: 'a Screen of @retrap/display', accepts: (value) => value instanceof Screen },
  vapic: {
    expected: 'true, false or { rom: Uint8Array }',
    accepts: (value) => typeof value === 'boolean' || object(value),
  },
  hypervisor: oneOf('none', 'xen'),
  serialPorts: wholeFrom(1, SERIAL_PORTS.length),
  keyboard: { expected: 'a Keyboard of @retrap/display', accepts: (value) => value instanceof Keyboard },
  mouse: { expected: 'a Mouse of @retrap/display', accepts: (value) => value instanceof Mouse },
  devices: arrayOf('device models', (value) => object(value) && typeof value['attach'] === 'function'),
  devicePlacement: {
    expected: "'inline', 'deferred' or a function that starts a server",
    accepts: (value) => value === 'inline' || value === 'deferred' || typeof value === 'function',
  },
  smp: {
    expected: "'turns', or vcpuThreads(…) of @retrap/hvm/threads",
    accepts: (value) => value === 'turns' || typeof value === 'function',
  },
  controllerPlacement: callback,
  deviceMemoryBytes: wholeFrom(0, 2 ** 32),
  deviceServers: arrayOf('functions that start a server', (value) => typeof value === 'function'),
  devicePolicy: oneOf('crash', 'detach'),
  deviceDeadlineMs: {
    expected: 'a number of milliseconds above 0',
    accepts: (value) => typeof value === 'number' && value > 0,
  },
  onDeviceFailure: callback,
  onWarning: callback,
  trace: callback,
  sharedMemory: flag,
  smm: flag,
  checkMappings: flag,
  profile: flag,
  sampling: {
    expected: '{ onSample: function, onIdle?: function, intervalMs?: number above 0 }',
    accepts: (value) =>
      object(value) &&
      typeof value['onSample'] === 'function' &&
      ['undefined', 'function'].includes(typeof value['onIdle']) &&
      (value['intervalMs'] === undefined || (typeof value['intervalMs'] === 'number' && value['intervalMs'] > 0)),
  },
  jit: { expected: 'a boolean or JitOptions', accepts: (value) => typeof value === 'boolean' || object(value) },
  clock: oneOf('real', 'deterministic'),
  keepsPace: flag,
  epochSeconds: wholeFrom(0, Number.MAX_SAFE_INTEGER),
  entropySeed: wholeFrom(0, 2 ** 32 - 1),
  codeCacheBytes: wholeFrom(64 << 10, 2 ** 32),
  cpu: { expected: 'a name or a CpuModel', accepts: (value) => typeof value === 'string' || object(value) },
}

/** Checks each option by itself. @throws MachineError `ERR_OPTION` */
export function checkOptionValues(options: ComposedOptions): void {
  for (const [name, rule] of Object.entries(RULES)) {
    const value: unknown = options[name as keyof ComposedOptions]
    if (value !== undefined && !rule.accepts(value)) {
      throw new MachineError('ERR_OPTION', `${name} ${show(value)}: expected ${rule.expected}`)
    }
  }
}

/** A value in a message, however large it is. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`
  if (typeof value !== 'object' || value === null) return String(value)
  return Array.isArray(value) ? `an array of ${value.length}` : 'an object'
}
