import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { type Command, Option } from 'commander'
import { MemoryStorage, RawImage } from '@retrap/block'
import type * as Arm from '@retrap/machine/arm'
import type {
  ArmMachine,
  ArmMachineOptions,
  ArmRecorder,
  ArmSnapshotSource,
  RecordArmOptions,
  RecordingSource,
} from '@retrap/machine/arm'
import type { DriveArgument } from '../drives/drives.ts'
import { checkTarget } from '../files/files.ts'
import { type ImageFlags, readImages } from '../flags/images.ts'
import { loadInterpreters } from './interpreters.ts'
import type { CreateMachine, Machine, MachineOptions } from './machine-contract.ts'
import type { ReplayedRun } from '../recording/replay-machine.ts'
import { usage } from '../options/values.ts'

/** Options that an Arm machine takes, by the names of their attributes. */
const TAKEN: ReadonlySet<string> = new Set([
  'append',
  'arch',
  'audio',
  'boot',
  'cdrom',
  'chardev',
  'checkMappings',
  'command',
  'console',
  'cpus',
  'deterministic',
  'device',
  'deviceDeadline',
  'deviceFailure',
  'devices',
  'display',
  'drive',
  'dumpdtb',
  'firmware',
  'firmwareVars',
  'fsdev',
  'gdb',
  'hda',
  'hdb',
  'hdc',
  'hdd',
  'hypervisor',
  'initrd',
  'installer',
  'jit',
  'jitDump',
  'kernel',
  'machine',
  'memory',
  'mirror',
  'netdev',
  'nic',
  'pace',
  'package',
  'profile',
  'reboot',
  'record',
  'refresh',
  'replay',
  'saveOnExit',
  'schema',
  'screenshotOnExit',
  'serial',
  'share',
  'snapshot',
  'stats',
  'symbols',
  'timeout',
  'trace',
  'traceTo',
  'unitCache',
  'vga',
  'virtfs',
  'vsock',
])

/** The values of --machine for an Arm machine. */
export const ARM_BOARDS: readonly string[] = ['virt', 'virt,gic-version=2', 'virt,gic-version=3']

/** The version of the interrupt controller of an Arm board; undefined of a PC. */
export function gicOf(machine: string): 2 | 3 | undefined {
  if (!ARM_BOARDS.includes(machine)) return undefined
  return machine.endsWith('=2') ? 2 : 3
}

/** Replacements for options that users try; those that are not here are left out. */
const INSTEAD: Readonly<Record<string, string>> = {
  controllers: 'leave it out, or write --devices async for models that answer later',
  cpu: 'leave it out: there is one processor, with all of Armv8.4-A that Linux uses',
  fda: 'write --drive file=FILE,if=virtio',
  fdb: 'write --drive file=FILE,if=virtio',
  module: 'write --initrd FILE',
  recordCheckpoints: 'leave it out: there are none in recordings of Arm boards',
  optionRom: 'leave it out: UEFI firmware has drivers of its own',
  vapic: 'leave it out: there is no task-priority register',
}

/** Firmware, a kernel and a whole system's programs, decoded: with less of it a boot of Debian takes an eighth longer. */
export const CODE_CACHE_BYTES: number = 64 << 20

/** Gives a command the option of an architecture. */
export function archOption(command: Command): Command {
  const option = new Option('--arch <name>', 'architecture of the machine')
  return command.optionsGroup('Machine:').addOption(option.choices(['amd64', 'arm64']).default('amd64'))
}

/** Refuses options that are a PC's. @throws CliError `ERR_USAGE` */
export function checkArmFlags(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName()
    const isGiven = ![undefined, 'default'].includes(command.getOptionValueSource(name))
    if (isGiven && !TAKEN.has(name))
      throw usage(`${option.long ?? name} is not there for --arch arm64; ${INSTEAD[name] ?? 'leave it out'}`)
    if (isGiven && name === 'machine' && gicOf(String(command.getOptionValue(name))) === undefined) {
      throw usage(`--machine ${command.getOptionValue(name)} is a PC; --arch arm64 has --machine virt`)
    }
  }
}

/** The part of `@retrap/machine/arm` for options. @throws CliError `ERR_USAGE` for what only a PC has */
async function loadArm(
  options: MachineOptions,
): Promise<{ readonly arm: typeof Arm; readonly given: ArmMachineOptions }> {
  if (options.modules !== undefined && options.modules.length > 0)
    throw usage(`--module is not there for --arch arm64; ${INSTEAD['module']}`)
  const arm = await import('@retrap/machine/arm')
  await loadInterpreters('arm64')
  const { memoryBytes, cpus, initrd, commandLine, devices, deviceServers, clock, trace } = options
  const { gic, drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse, hypervisor } = options
  const { vga, preferredMode, screen, boot } = options
  const given: ArmMachineOptions = {
    ...{ memoryBytes, cpus, initrd, commandLine, devices, deviceServers, clock, trace },
    ...{ gic, drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse, hypervisor },
    ...{ vga, preferredMode, screen, boot },
    codeCacheBytes: CODE_CACHE_BYTES,
    kernel: options.kernel,
    ...(options.snapshot !== undefined && { snapshot: options.snapshot as ArmSnapshotSource }),
    unzstd: unzstd(),
    flash: options.flash ?? flashOf(options.firmware),
    jit: await jitOf(options.jit),
    sampling: options.sampling,
    devicePolicy: options.devicePolicy,
    deviceDeadlineMs: options.deviceDeadlineMs,
    onDeviceFailure: options.onDeviceFailure,
    devicePlacement: options.devicePlacement,
  }
  return { arm, given }
}

/** How hot code is compiled, with what prints the guest's instructions for who is notified of it. */
async function jitOf(jit: MachineOptions['jit']): Promise<NonNullable<ArmMachineOptions['jit']>> {
  if (typeof jit !== 'object') return jit === true
  const { keep, onCode } = jit
  if (onCode === undefined) return { ...(keep && { keep }) }
  const { formatA32, formatA64, formatThumb } = await import('@retrap/arm-decoder')
  const disassemble = (aarch32: boolean, bytes: Uint8Array, address: bigint): string | undefined => {
    const halves = Array.from({ length: bytes.length >> 1 }, (_, i) => bytes[2 * i]! | (bytes[2 * i + 1]! << 8))
    const [first = 0, second = 0] = halves
    if (aarch32 && (address & 1n) !== 0n) return formatThumb(first, second, { address: address - 1n })
    return (aarch32 ? formatA32 : formatA64)((first | (second << 16)) >>> 0, { address })
  }
  return {
    ...(keep && { keep }),
    onCode: (code) =>
      onCode({
        ...code,
        bits: code.aarch32 ? 32 : 64,
        disassemble: (bytes, address) => disassemble(code.aarch32, bytes, address) ?? UNALLOCATED,
      }),
  }
}

/** The text of an instruction that the architecture does not have. */
const UNALLOCATED = 'udf'

/** Makes an Arm machine. @throws CliError `ERR_USAGE` for what only a PC has */
export async function createArm(options: MachineOptions): Promise<Machine> {
  const { arm, given } = await loadArm(options)
  return arm.createArmMachine(given)
}

/** Makes one whose run is recorded. @throws CliError `ERR_USAGE`; MachineError as `recordArmMachine` */
export async function recordArm(
  options: MachineOptions,
  write: (bytes: Uint8Array) => unknown,
  how: RecordArmOptions,
): Promise<ArmRecorder> {
  const { arm, given } = await loadArm(options)
  return arm.recordArmMachine(given, write, how)
}

/** Opens a recording of one. @throws CliError `ERR_USAGE`; as `replayArmMachine` */
export async function replayArm(
  options: MachineOptions,
  source: RecordingSource,
  onMachine: (machine: ArmMachine) => void,
): Promise<ReplayedRun> {
  const { arm, given } = await loadArm(options)
  const replay = await arm.replayArmMachine(given, source, onMachine)
  const { end, isCut, marks } = replay
  return {
    ...{ end, isCut, marks },
    get pc() {
      return replay.machine
    },
    get instructions() {
      return replay.instructions
    },
    run: (limits) => replay.run(limits),
    goto: (instruction, limits) => replay.goto(instruction, limits),
    close: () => replay.close(),
  }
}

/** Node's Zstandard, which older ones do not have. */
export function unzstd(): ArmMachineOptions['unzstd'] {
  const { zstdDecompress }: Partial<typeof zlib> = zlib
  if (zstdDecompress === undefined) return undefined
  const decompress = promisify(zstdDecompress)
  return async (data, bytes) => decompress(data, { maxOutputLength: bytes })
}

/** A firmware image as a flash that keeps nothing. */
export function flashOf(firmware: Uint8Array | undefined): MachineOptions['flash'] {
  if (firmware === undefined) return undefined
  return [{ medium: new RawImage(new MemoryStorage(firmware, { readOnly: true })), readOnly: true }]
}

/** Options that a device tree depends on, beside the kernel's. */
interface TreeFlags extends ImageFlags {
  readonly dumpdtb?: string
  readonly memory: number
  readonly cpus: number
  readonly machine: string
  readonly hypervisor?: 'none' | 'xen'
}

/**
 * Writes the device tree that a guest of these options would find, as QEMU's `-machine dumpdtb=FILE` does. It may be without
 * a kernel.
 *
 * @returns whether it was asked for
 * @throws CliError
 */
export async function dumpDeviceTree(flags: TreeFlags, create: CreateMachine): Promise<boolean> {
  const { dumpdtb, memory, cpus, machine: board, hypervisor, arch } = flags
  if (dumpdtb === undefined) return false
  if (arch !== 'arm64') throw usage('--dumpdtb: a PC has no device tree; give --arch arm64')
  await checkTarget('--dumpdtb', dumpdtb)
  const gic = gicOf(board)
  const images = await readImages(flags)
  // A board with nothing to start is one whose flash is empty.
  const firmware = images.kernel === undefined ? new Uint8Array(4096) : undefined
  const machine = await create({
    ...{ architecture: 'arm64', memoryBytes: memory, cpus, clock: 'real', devices: [], deviceServers: [] },
    ...(gic !== undefined && { gic }),
    ...(hypervisor !== undefined && { hypervisor }),
    ...(firmware !== undefined && { firmware }),
    ...images,
  })
  try {
    await writeFile(dumpdtb, machine.deviceTree ?? new Uint8Array(0))
  } finally {
    machine.close?.()
  }
  return true
}

/** Refuses disks with nothing that starts them: SeaBIOS is a PC's. @throws CliError `ERR_USAGE` */
export function checkArmImages(flags: ImageFlags, drives: readonly DriveArgument[]): void {
  const starts = flags.kernel ?? flags.firmware ?? drives.find(({ flash }) => flash !== undefined)
  if (starts === undefined)
    throw usage('nothing that starts an Arm machine; give --kernel FILE, or UEFI firmware with --firmware FILE')
}
