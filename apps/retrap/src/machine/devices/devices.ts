import type { CreateDevices } from '@retrap/linux-guest/machine/machine-contract'
import type { DeviceContext, DeviceModel } from '@retrap/device'
import { DebugConsole, DebugExit, Edu, I6300Esb, PciTestDevice, PvPanic } from '@retrap/devices'
import { Command, CommanderError } from 'commander'
import { openSync, writeSync } from 'node:fs'
import type { StartDeviceServer } from '@retrap/machine'
import { attempt } from '@retrap/linux-guest/errors'
import { namesProgram, prepareProgram, PROGRAM_PROPERTIES } from './device-programs.ts'
import { isModuleBehindPort, MODULE_PROPERTIES, moduleTypesLine, namesModule, prepareModule } from './device-modules.ts'
import type { SessionOutput } from '../session/session-host.ts'
import type { OptionRow } from '../../options/option-table.ts'
import { type DeviceArgument, didYouMean, parseDevice, Properties, usage } from '../../options/values.ts'
import { ExitCode } from '../../exit-codes.ts'
import type { RunEvent } from '../../host/run-control.ts'
import { deviceHere } from './qemu-devices.ts'
import { inWordsOfPci, isPciDevice, PCI_KINDS, slotOf } from './pci-devices.ts'

/** Receivers of a device's text. */
export interface DeviceHost {
  readonly stdout: SessionOutput
  readonly stderr: SessionOutput
  /** Takes events of devices, as QMP has them. */
  tell?: ((...event: RunEvent) => void) | undefined
}

/** One `--device` that retrap has: QEMU's name, its properties, and how to make it. */
interface DeviceKind {
  readonly summary: string
  readonly properties: Readonly<Record<string, string>>
  /** Checks the properties. The returned function makes the device, once for each machine. */
  prepare(properties: Properties, host: DeviceHost, argument: DeviceArgument): () => DeviceModel
}

const ADDRESS = (number: string): string => `PCI device number, such as 4 or 0x4 (${number})`

const PANIC_ACTIONS = ['shutdown', 'none'] as const
const WATCHDOG_ACTIONS = ['reset', 'poweroff', 'shutdown', 'none'] as const

const KINDS: Readonly<Record<string, DeviceKind>> = {
  'isa-debug-exit': {
    summary: 'a write of v ends the process with (v << 1) | 1',
    properties: { iobase: 'first port (0x501)', iosize: 'ports: 1, 2 or 4 (2)' },
    prepare(properties) {
      const iosize = properties.whole('iosize', 2, 4, 1)
      if (iosize === 3) throw usage('--device isa-debug-exit: iosize=3 is not 1, 2 or 4')
      const iobase = properties.whole('iobase', 0x501, 0x1_0000 - iosize)
      return () => new DebugExit({ iobase, iosize: iosize as 1 | 2 | 4 })
    },
  },
  'isa-debugcon': {
    summary: 'each byte written to its port is printed',
    properties: { iobase: 'port (0xe9)', chardev: 'stdio, stderr or file:FILE (stdio)' },
    prepare(properties, host) {
      const iobase = properties.whole('iobase', 0xe9, 0xffff)
      const output = openSink(properties.text('chardev', 'stdio'), host)
      return () => new DebugConsole({ iobase, stream: { send: output } })
    },
  },
  'pci-testdev': {
    summary: 'counts writes to its memory and ports, for programs that test them',
    properties: { addr: ADDRESS('1e') },
    prepare(_properties, _host, argument) {
      const device = slotOf(argument)
      return () => new PciTestDevice(device === undefined ? {} : { device })
    },
  },
  edu: {
    summary: 'computes factorials, interrupts and copies by DMA, for people who learn to write drivers',
    properties: {
      addr: ADDRESS('1d'),
      dma_mask: 'the highest address that DMA reaches: ones from bit 0 on (0xfffffff)',
    },
    prepare(properties, _host, argument) {
      const device = slotOf(argument)
      const addressBits = Math.log2(properties.whole('dma_mask', 0xfff_ffff, 2 ** 52 - 1, 1) + 1)
      if (!Number.isInteger(addressBits)) throw usage('--device edu: dma_mask is no row of ones, such as 0xfffffff')
      return () => new Edu({ addressBits, ...(device !== undefined && { device }) })
    },
  },
  pvpanic: {
    summary: 'a kernel that panics says so by a PCI function or a port, and the run ends with 90',
    properties: {
      addr: ADDRESS('1b'),
      ioport: 'the port (0x505)',
      action: `${PANIC_ACTIONS.join(', ')} (shutdown)`,
    },
    prepare(properties, { stderr, tell }, argument) {
      const action = properties.oneOf('action', PANIC_ACTIONS)
      const device = slotOf(argument) ?? 0x1b
      const ioport = properties.whole('ioport', 0x505, 0xffff)
      const onPanic = (crashLoaded: boolean, context: DeviceContext): void => {
        tell?.(crashLoaded ? 'GUEST_CRASHLOADED' : 'GUEST_PANICKED', { action: action === 'none' ? 'run' : 'poweroff' })
        stderr.write(
          `retrap: the guest says that it ${crashLoaded ? 'saves its memory after a panic' : 'has panicked'}\r\n`,
        )
        if (action !== 'none' && !crashLoaded) context.requestExit(ExitCode.GuestPanic)
      }
      return () => new PvPanic({ onPanic, ioport, device })
    },
  },
  i6300esb: {
    summary: 'a watchdog: a guest that does not feed it is reset',
    properties: { addr: ADDRESS('1c'), action: `${WATCHDOG_ACTIONS.join(', ')} (reset)` },
    prepare(properties, { stderr, tell }, argument) {
      const device = slotOf(argument)
      const action = properties.oneOf('action', WATCHDOG_ACTIONS)
      const onExpired = (context: DeviceContext): void => {
        tell?.('WATCHDOG', { action })
        stderr.write(`retrap: the watchdog's time is over: ${action}\r\n`)
        if (action === 'reset') context.requestReset()
        else if (action !== 'none') context.requestPowerOff()
      }
      return () => new I6300Esb({ onExpired, ...(device !== undefined && { device }) })
    },
  },
}

/**
 * Checks `--device` arguments and opens the files that they name.
 *
 * @param elsewhere - start the devices of other hosts
 * @throws CliError `ERR_USAGE` for a device or property that does not exist
 */
export function prepareDevices(
  devices: readonly DeviceArgument[],
  host: DeviceHost,
  elsewhere: readonly StartDeviceServer[] = [],
): CreateDevices {
  const modules = devices.filter((one) => namesModule(one.name) && !isModuleBehindPort(one)).map(prepareModule)
  const programs = devices.filter(({ name }) => namesProgram(name))
  const makers = devices.flatMap((argument) => {
    if (namesModule(argument.name) || namesProgram(argument.name) || isPciDevice(argument)) return []
    const kind = KINDS[argument.name]!
    const properties = new Properties(argument)
    properties.check(Object.keys(kind.properties))
    return [kind.prepare(properties, host, argument)]
  })
  const servers = [
    ...modules.flatMap(({ server }) => (server === undefined ? [] : [server])),
    ...programs.map((program, i) => prepareProgram(program, i, host.stderr)),
    ...elsewhere,
  ]
  return async (leftMs) => {
    const loaded = await Promise.all(modules.map(async ({ models }) => (models === undefined ? [] : models(leftMs))))
    return { models: [...makers.map((make) => make()), ...loaded.flat()], servers }
  }
}

/**
 * Makes the devices of a guest of `exec`.
 *
 * @throws CliError `ERR_USAGE` as {@link prepareDevices}, and for a device that has to be at a place of another machine
 */
export function prepareExecDevices(texts: readonly string[], host: DeviceHost): CreateDevices {
  const devices = texts.map((text) => readDevice(text, [], new Command()))
  const other = devices.find((one) => isPciDevice(one) || isModuleBehindPort(one))
  if (other !== undefined) throw usage(`--device ${other.name}: not in a guest of exec; retrap linux has it`)
  return prepareDevices(devices, host)
}

/** Replacements for devices that QEMU has. */
const INSTEAD: Readonly<Record<string, string>> = {
  'ide-hd': '--drive file=FILE, which is an IDE disk, or of a q35 a SATA one',
  'ide-cd': '--drive file=FILE,media=cdrom',
  floppy: '--fda FILE',
  ahci: '--machine q35, which has it',
  'ich9-ahci': '--machine q35, which has it',
  'isa-serial': '--serial, once for each port',
  'pci-serial': '--serial, once for each port',
}

/** @throws CliError `ERR_USAGE` for a device that does not exist */
function checkDevice({ name }: DeviceArgument): void {
  const names = Object.keys({ ...KINDS, ...PCI_KINDS })
  if (namesModule(name) || namesProgram(name) || names.includes(name)) return
  const here = deviceHere(name)
  const instead = Object.hasOwn(INSTEAD, name) ? INSTEAD[name] : here === name ? undefined : `--device ${here}`
  if (instead !== undefined) throw usage(`there is no ${name}; write ${instead}`)
  throw usage(
    `--device '${name}' is unknown; there are ${names.join(', ')}, and modules of your own${didYouMean(name, names)}`,
  )
}

/** Flushes buffered output of devices. */
export function flushDevices(devices: readonly DeviceModel[]): void {
  for (const device of devices) if (device instanceof DebugConsole) device.flush()
}

/** Reads `--device`: `help` prints the devices, and `NAME,help` one of them with its properties. @throws CliError `ERR_USAGE` */
export function readDevice(text: string, _before: readonly unknown[], command: Command): DeviceArgument {
  const [name, wants] = text === 'help' ? [undefined, true] : [text.slice(0, -5), text.endsWith(',help')]
  const kinds = { ...KINDS, ...PCI_KINDS }
  if (!wants || (name !== undefined && !Object.hasOwn(kinds, name))) {
    const argument = inWordsOfPci(parseDevice(text))
    checkDevice(argument)
    return argument
  }
  command.configureOutput().writeOut?.(`${deviceHelp(name)}\n`)
  throw new CommanderError(0, 'retrap.deviceHelp', '')
}

/** The properties of each device in a machine file, where `name` is the device. */
const PROPERTIES: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({ ...KINDS, ...PCI_KINDS }).map(([name, { properties }]) => [
    name,
    Object.keys(properties).filter((key) => key !== 'name'),
  ]),
)

export const DEVICE_OPTION: OptionRow = {
  flags: '--device <name,key=value>',
  help: 'add a device, or a module with devices of your own; help, or NAME,help, lists what there is (repeatable)',
  each: readDevice,
  shape: {
    head: 'name',
    short: 'name',
    keys: (name) =>
      PROPERTIES.get(name) ??
      (namesProgram(name) ? Object.keys(PROGRAM_PROPERTIES) : /[./\\]/.test(name) ? MODULE_PROPERTIES : undefined),
    heads: [...PROPERTIES.keys()],
    paths: ['romfile'],
  },
}

/** Formats a list of names and meanings in columns. */
function columns(rows: readonly (readonly [name: string, meaning: string])[], indent: string): readonly string[] {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, meaning]) => `${indent}${name.padEnd(width)}${meaning}`)
}

/** The help on a device, or on all. */
export function deviceHelp(name?: string): string {
  const all = { ...KINDS, ...PCI_KINDS }
  if (name !== undefined)
    return [`${name}: ${all[name]!.summary}`, ...columns(Object.entries(all[name]!.properties), '  ')].join('\n')
  const kinds = Object.entries(all).map(([one, { summary }]) => [one, summary] as const)
  return [
    'Devices, whose properties --device NAME,help prints:',
    ...columns(
      [...kinds, ['FILE', 'a module that exports device models of your own (defineDevice of @retrap/device);']],
      '  ',
    ),
    '    transport= says where they run: inline (default), worker or process',
    '    bus= is the id of a pcie-root-port that its PCI functions are behind, and id= a name for device_del',
    '  exec:COMMAND  a program in any language, which is started: see retrap device-sdk --help;',
    '    unix:PATH and tcp:HOST:PORT connect to one that listens',
    ...columns(Object.entries(PROGRAM_PROPERTIES), '    '),
    '  virtio-NAME-device  a virtio-NAME-pci at a transport in memory of an Arm board; bus=virtio-mmio-bus.31 (the last one)',
    `  To check the types of FILE in an editor, put this into a tsconfig.json beside it: ${moduleTypesLine()}`,
  ].join('\n')
}

function openSink(target: string, host: DeviceHost): (bytes: Uint8Array) => void {
  if (target === 'stdio') return (bytes) => void host.stdout.write(bytes)
  if (target === 'stderr') return (bytes) => void host.stderr.write(bytes)
  if (!target.startsWith('file:')) throw usage(`chardev=${target} is unknown; give stdio, stderr or file:FILE`)
  const path = target.slice(5)
  const file = attempt(`cannot write ${path}`, () => openSync(path, 'w'), 'write')
  return (bytes) => void writeSync(file, bytes)
}
