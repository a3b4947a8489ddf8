/** The commands of QMP. Source: QEMU, "QEMU QMP Reference Manual" (docs/interop/qemu-qmp-ref). */
import { setImmediate } from 'node:timers/promises'
import { plainLine } from '@retrap/basics'
import { Pairs } from '../../options/pairs.ts'
import { usage } from '../../options/values.ts'
import { packageVersion } from '../../package-version.ts'
import { runCommand, type MonitorSite } from './commands.ts'
import { listPci } from './pci-listing.ts'
import { screenDump, sendKeys } from './run-commands.ts'
import { RUN_EVENTS } from '../../host/run-control.ts'

/** The version of QEMU that these commands follow. */
export const QMP_VERSION: object = { qemu: { micro: 0, minor: 2, major: 7 }, package: `retrap ${packageVersion()}` }

/** A failure with its own QMP error class. */
export class QmpError extends Error {
  readonly kind: 'DeviceNotFound' | 'DeviceNotActive'
  constructor(kind: QmpError['kind'], message: string) {
    super(plainLine(message))
    this.kind = kind
  }
}

export type QmpArguments = Readonly<Record<string, unknown>>

/** The site of QMP commands: the monitor's, and facts about the machine. */
export interface QmpSite extends MonitorSite {
  readonly facts: {
    readonly isArm: boolean
    readonly cpus: number
    readonly memoryBytes: number
    readonly uuid: string | undefined
  }
}

/** Queries with an empty result, about things that machines here lack. */
const NOTHING = [
  ...['hotpluggable-cpus', 'memory-devices', 'iothreads', 'chardev', 'command-line-options', 'tpm-models', 'tpm-types'],
  ...['jobs', 'block-jobs'],
]

type QmpCommand = (given: QmpArguments, site: QmpSite) => unknown

const text = (given: QmpArguments, key: string): string => {
  const value = given[key]
  if (typeof value !== 'string' || value === '') throw usage(`Parameter '${key}' is missing`)
  return value
}

/** Carries out a command of the monitor. Its failure is an error of QMP. */
async function monitor(line: string, site: QmpSite): Promise<object> {
  const told = await runCommand(line, site)
  const [, trouble] = /^retrap: (.*)\n$/s.exec(told) ?? []
  if (trouble !== undefined) throw usage(trouble)
  return {}
}

/** A word of a line of the monitor. */
const quoted = (word: string): string => `"${word.replaceAll('"', '')}"`

/** Returns a command's arguments as the option's text, `driver,key=value`. */
const pairs = (given: QmpArguments, kind: string): string => new Pairs(JSON.stringify(given), kind).text

const arch = ({ facts }: QmpSite): string => (facts.isArm ? 'aarch64' : 'x86_64')

const cpus = (site: QmpSite): object[] =>
  Array.from({ length: site.facts.cpus }, (_, i) => ({
    'cpu-index': i,
    'qom-path': `/machine/unattached/device[${i}]`,
    'thread-id': process.pid,
    props: { 'socket-id': i, 'core-id': 0, 'thread-id': 0 },
    target: arch(site),
  }))

/** Returns drives in the form of `query-block`. */
function blocks({ machine, backEnds: { images } }: QmpSite): object[] {
  const removable = (machine?.removableDrives ?? []).map((drive) => ({
    ...{ device: drive.id, qdev: drive.id, type: 'unknown', removable: true },
    ...{ locked: drive.isLocked, tray_open: drive.isOpen },
    ...(drive.medium !== null && { inserted: inserted(images.nameOf(drive.medium) ?? '', true) }),
  }))
  const disks = images.named.map(({ id, path }) => ({
    ...{ device: id, qdev: id, type: 'unknown', removable: false, locked: false },
    inserted: inserted(path, false),
  }))
  return [...removable, ...disks]
}

const inserted = (file: string, ro: boolean): object => ({
  ...{ file, ro, drv: 'raw', encrypted: false, backing_file_depth: 0, detect_zeroes: 'off', write_threshold: 0 },
  ...{ bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 },
  ...{ cache: { 'no-flush': false, direct: false, writeback: true } },
})

const nothing: QmpCommand = () => []

/** Wraps a command that completes at once. */
const done =
  (act: (site: QmpSite) => void): QmpCommand =>
  (_, site) => {
    act(site)
    return {}
  }

/** The commands, beside `qmp_capabilities`. */
export const QMP_COMMANDS: Readonly<Record<string, QmpCommand>> = {
  'query-version': () => QMP_VERSION,
  'query-commands': () => ['qmp_capabilities', ...Object.keys(QMP_COMMANDS)].map((name) => ({ name })),
  'query-events': () => RUN_EVENTS.map((name) => ({ name })),
  'query-status': (_, { control: { status } }) => ({ status, running: status === 'running', singlestep: false }),
  'query-name': () => ({}),
  'query-uuid': (_, { facts }) => ({ UUID: facts.uuid ?? '00000000-0000-0000-0000-000000000000' }),
  'query-kvm': () => ({ enabled: false, present: false }),
  'query-target': (_, site) => ({ arch: arch(site) }),
  'query-cpus-fast': (_, site) => cpus(site),
  'query-machines': (_, { facts }) =>
    (facts.isArm ? ['virt'] : ['pc', 'q35']).map((name) => ({
      ...{ name, 'cpu-max': facts.isArm ? 64 : 128, 'hotpluggable-cpus': false },
      ...{ 'numa-mem-supported': false, deprecated: false, acpi: true },
    })),
  'query-current-machine': () => ({ 'wakeup-suspend-support': true }),
  'query-memory-size-summary': (_, { facts }) => ({ 'base-memory': facts.memoryBytes, 'plugged-memory': 0 }),
  'query-balloon': () => {
    throw new QmpError('DeviceNotActive', 'No balloon device has been activated')
  },
  ...Object.fromEntries(NOTHING.map((name) => [`query-${name}`, nothing])),
  'query-migrate': () => ({}),
  'query-block': (_, site) => blocks(site),
  'query-named-block-nodes': (_, { backEnds: { images } }) =>
    images.named.map(({ id, path }) => ({ 'node-name': id, ...inserted(path, false) })),
  'query-blockstats': (_, site) => (blocks(site) as { device: string }[]).map(({ device }) => ({ device, stats: {} })),
  'query-pci': (_, { machine, devices }) => {
    const source = machine?.domain.devices?.functions
    return source === undefined ? [] : listPci(source, (model) => devices.nameOf(model))
  },
  stop: done(({ control }) => control.hold()),
  cont: done(({ control }) => control.release()),
  // The answer is sent before the run ends.
  quit: done(({ leave }) => void setImmediate().then(leave)),
  system_reset: done(({ control }) => control.reset()),
  system_powerdown: done(({ control, power }) => {
    control.tell('POWERDOWN')
    void power()
  }),
  system_wakeup: done(({ power }) => void power()),
  'human-monitor-command': async (given, site) => {
    const told = await runCommand(text(given, 'command-line'), site)
    return told.replaceAll('\n', '\r\n')
  },
  device_add: (given, site) => monitor(`device_add ${quoted(pairs(given, 'driver'))}`, site),
  device_del: async (given, site) => {
    const id = text(given, 'id')
    const gone = monitor(`device_del ${quoted(id)}`, site)
    // The guest is asked; the event DEVICE_DELETED tells of the end. A mistake of the caller is known at once.
    await Promise.race([gone, setImmediate()])
    gone.catch(() => {})
    return {}
  },
  netdev_add: (given, site) => monitor(`netdev_add ${quoted(pairs(given, 'type'))}`, site),
  netdev_del: (given, site) => monitor(`netdev_del ${quoted(text(given, 'id'))}`, site),
  'blockdev-add': async (given, site) => {
    const node = new Pairs(JSON.stringify(given))
    const file = node.get('file.filename') ?? node.get('filename')
    if (file === undefined) throw usage("Parameter 'file.filename' is missing: the file is in the same command here")
    const format = node.kind === 'qcow2' ? 'qcow2' : 'raw'
    const readonly = node.get('read-only') === 'on' ? ',readonly=on' : ''
    const path = file.replaceAll(',', ',,')
    const name = node.get('node-name') ?? ''
    const added = await monitor(
      `drive_add ${quoted(`if=none,id=${name},file=${path},format=${format}${readonly}`)}`,
      site,
    )
    // A node stays until blockdev-del; as in QEMU, device_del closes an image of drive_add with its device.
    site.backEnds.images.keep(name)
    return added
  },
  'blockdev-del': (given, site) => monitor(`drive_del ${quoted(text(given, 'node-name'))}`, site),
  eject: (given, site) => {
    const id = text(given, given['id'] === undefined ? 'device' : 'id')
    return monitor(`eject ${given['force'] === true ? '-f ' : ''}${quoted(id)}`, site)
  },
  'blockdev-change-medium': (given, site) => {
    const id = text(given, given['id'] === undefined ? 'device' : 'id')
    const format = given['format'] === undefined ? '' : ` ${quoted(text(given, 'format'))}`
    const force = given['force'] === true ? '-f ' : ''
    return monitor(`change ${force}${quoted(id)} ${quoted(text(given, 'filename'))}${format}`, site)
  },
  screendump: async (given, site) => {
    await screenDump(site, text(given, 'filename'))
    return {}
  },
  'send-key': async (given, site) => {
    if (!Array.isArray(given['keys'])) throw usage("Parameter 'keys' is missing")
    await sendKeys(
      site,
      given['keys'].map((key) => text(Object(key) as QmpArguments, 'data')),
    )
    return {}
  },
  // QEMU reports the end by query-migrate; here the response does.
  migrate: (given, site) => monitor(`migrate ${quoted(text(given, 'uri'))}`, site),
}
